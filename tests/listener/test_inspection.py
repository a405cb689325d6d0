"""What counts as one whole data set."""

from __future__ import annotations

import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listener.errors import InvalidInstanceError
from listener.inspection import inspect
from tests.listener.conftest import EXPLICIT, bundled, received

DEFLATED = "1.2.840.10008.1.2.1.99"
WHOLE = (
    "CT_small.dcm",
    "MR_small_RLE.dcm",
    "MR_small_bigendian.dcm",
    "JPEG2000.dcm",
    "rtplan.dcm",
    "image_dfl.dcm",
    "UN_sequence.dcm",
    "emri_small_jpeg_2k_lossless.dcm",
)


def check(data: bytes, syntax: str):
    return inspect(data, transfer_syntax_uid=syntax)


@pytest.mark.parametrize("name", [name for name in WHOLE if name != "UN_sequence.dcm"])
def test_a_whole_data_set_passes_and_a_cut_anywhere_is_seen(name):
    sample = received(bundled(name))
    syntax = sample.reception.transfer_syntax_uid
    assert check(sample.data, syntax).sop_instance_uid == sample.reception.sop_instance_uid
    if name in ("rtplan.dcm",):
        return  # not an image: a cut between two elements can't be told from a shorter plan
    step = max(len(sample.data) // 400, 1)
    for end in range(0, len(sample.data) - 1 - trailing(name), step):
        with pytest.raises(InvalidInstanceError):
            check(sample.data[:end], syntax)


def trailing(name: str) -> int:
    """Bytes of padding after the pixel data of a file, which may be missing without loss."""
    return {"CT_small.dcm": 138, "image_dfl.dcm": 1}.get(name, 0)


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
        check(data, sample.reception.transfer_syntax_uid)


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
