"""What counts as one whole data set."""

from __future__ import annotations

import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import UID

from listener.errors import InvalidInstanceError
from listener.spool.inspection import inspect
from tests.listener.conftest import EXPLICIT, Received, bundled, received

DEFLATED = "1.2.840.10008.1.2.1.99"


def check(data: bytes, syntax: str):
    return inspect(data, transfer_syntax_uid=syntax)


def end_of_image(sample: Received) -> int:
    """Where the pixel data ends: what may follow can be cut off without loss to the image."""
    if sample.transfer.transfer_syntax_uid == DEFLATED:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        inflater.decompress(sample.data)
        return len(sample.data) - len(inflater.unused_data)
    if UID(sample.transfer.transfer_syntax_uid).is_encapsulated:
        delimiter = b"\xfe\xff\xdd\xe0\0\0\0\0"
        return sample.data.index(delimiter, sample.data.index(b"\xe0\x7f\x10\0OB")) + 8
    return sample.data.index(b"\xe0\x7f\x10\0OW") + 12 + 128 * 128 * 2


@pytest.mark.parametrize(
    "name", ["CT_small.dcm", "MR_small_RLE.dcm", "JPEG2000.dcm", "image_dfl.dcm"]
)
def test_a_whole_image_passes_and_a_cut_anywhere_is_seen(name):
    sample = received(bundled(name))
    syntax = sample.transfer.transfer_syntax_uid
    assert check(sample.data, syntax).sop_instance_uid == sample.transfer.sop_instance_uid
    end = end_of_image(sample)
    for cut in (*range(0, end, max(end // 500, 1)), *range(end - 20, end)):
        with pytest.raises(InvalidInstanceError):
            check(sample.data[:cut], syntax)


def test_a_whole_object_that_is_no_image_passes():
    plan = received(bundled("rtplan.dcm"))
    identity = check(plan.data, plan.transfer.transfer_syntax_uid)
    assert identity.sop_class_uid == plan.transfer.sop_class_uid


@pytest.mark.parametrize("name", ["MR_truncated.dcm", "rtplan_truncated.dcm"])
def test_a_file_known_to_be_truncated_is_refused(name):
    sample = received(bundled(name))
    with pytest.raises(InvalidInstanceError, match="cut short"):
        check(sample.data, sample.transfer.transfer_syntax_uid)


def test_pixel_data_shorter_than_rows_and_columns_say_is_refused(make_ct):
    import pydicom

    path = make_ct("1.2.3", "1.2.3.1")
    dataset = pydicom.dcmread(path)
    dataset.PixelData = dataset.PixelData[:-256]
    dataset.save_as(path)
    with pytest.raises(InvalidInstanceError, match="256 bytes shorter"):
        check(received(path).data, EXPLICIT)


def test_an_image_without_pixel_data_is_refused(make_ct):
    import pydicom

    path = make_ct("1.2.3", "1.2.3.1")
    dataset = pydicom.dcmread(path)
    del dataset.PixelData
    dataset.save_as(path)
    with pytest.raises(InvalidInstanceError, match="without Pixel Data"):
        check(received(path).data, EXPLICIT)


def test_fewer_fragments_than_frames_are_refused():
    sample = received(bundled("MR_small_RLE.dcm"))
    frames = b"\x28\x00\x08\x00IS\x02\x002 "
    marker = sample.data.index(b"\x28\x00\x10\x00US")
    data = sample.data[:marker] + frames + sample.data[marker:]
    with pytest.raises(InvalidInstanceError, match="1 fragments for 2 frames"):
        check(data, sample.transfer.transfer_syntax_uid)


def test_a_deflate_bomb_is_refused_before_it_fills_the_memory():
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = deflater.compress(bytes(4_000_000)) + deflater.flush()
    with pytest.raises(InvalidInstanceError, match="inflates to over 1000000 bytes"):
        inspect(bomb, transfer_syntax_uid=DEFLATED, inflated_limit=1_000_000)


def test_sequences_nested_without_end_are_refused():
    opening = b"\x08\x00\x15\x11\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    with pytest.raises(InvalidInstanceError, match="nested deeper"):
        check(opening * 5000, "1.2.840.10008.1.2")


@given(
    data=st.binary(max_size=400),
    syntax=st.sampled_from(
        ["1.2.840.10008.1.2", EXPLICIT, "1.2.840.10008.1.2.2", DEFLATED, "1.2.840.10008.1.2.5"]
    ),
)
def test_noise_is_refused_with_a_reason_and_never_crashes(data, syntax):
    with pytest.raises(InvalidInstanceError) as caught:
        check(data, syntax)
    assert 0 < len(caught.value.reason) <= 64


@given(position=st.integers(0, 2000), value=st.integers(0, 255))
def test_a_flipped_byte_in_the_headers_never_crashes(position, value):
    sample = received(bundled("CT_small.dcm"))
    data = bytearray(sample.data)
    data[position] = value
    with suppress(InvalidInstanceError):
        identity = check(bytes(data), EXPLICIT)
        assert identity.study_instance_uid.replace(".", "").isdigit()
