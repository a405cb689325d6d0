"""Objects that are broken or odd: kept as they came, or refused with the reason; never a crash."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pynetdicom.dsutils import encode

from listener.errors import InvalidInstanceError, InvalidUIDError
from listener.scu import store
from listener.spool import Spool, TransferInfo
from tests.conftest import soak_rounds
from tests.listener.conftest import (
    CT,
    EXPLICIT,
    Received,
    bundled,
    data_set_of,
    peer_of,
    received,
    write_part10,
)

DEFLATED = "1.2.840.10008.1.2.1.99"


def ct(change: Callable[[Dataset], Any]) -> Received:
    """A small CT with something changed."""
    dataset = pydicom.dcmread(bundled("CT_small.dcm"))
    change(dataset)
    data = encode(dataset, is_implicit_vr=False, is_little_endian=True)
    assert data is not None
    uid = str(dataset.get("SOPInstanceUID", "")) or "1.2.3"
    return Received(data, TransferInfo(EXPLICIT, CT, uid.rstrip("\0"), "CT1", "NODE"))


def with_raw(before: bytes, after: bytes) -> Received:
    item = received(bundled("CT_small.dcm"))
    assert item.data.count(before) == 1
    return Received(item.data.replace(before, after), item.transfer)


BROKEN = {
    "no SOP Instance UID": lambda d: delattr(d, "SOPInstanceUID"),
    "empty Study Instance UID": lambda d: setattr(d, "StudyInstanceUID", ""),
    "no Series Instance UID": lambda d: delattr(d, "SeriesInstanceUID"),
    "no pixel data": lambda d: delattr(d, "PixelData"),
    "empty pixel data": lambda d: setattr(d, "PixelData", b""),
    "half of the pixel data": lambda d: setattr(d, "PixelData", d.PixelData[:100]),
    "more frames than pixels": lambda d: setattr(d, "NumberOfFrames", 2),
    "no rows": lambda d: delattr(d, "Rows"),
    "rows of the largest kind": lambda d: setattr(d, "Rows", 65535),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_object_is_quarantined_with_its_reason(what, spool):
    item = ct(BROKEN[what])
    with pytest.raises(InvalidInstanceError) as caught:
        spool.store(item.data, item.transfer)
    (entry,) = spool.quarantined()
    assert entry.reason == caught.value.reason
    assert entry.path.read_bytes() == item.data


ODD = {
    "Japanese names": lambda d: d.update(
        {
            "SpecificCharacterSet": ["", "ISO 2022 IR 87"],
            "PatientName": "Yamada^Tarou=山田^太郎=やまだ^たろう",
        }
    ),
    "a right-to-left name": lambda d: d.update(
        {"SpecificCharacterSet": "ISO_IR 138", "PatientName": "שרון^דבורה"}
    ),
    "private junk": lambda d: d.private_block(0x000B, "JUNK", create=True).add_new(
        0x01, "UN", bytes(range(256)) * 40
    ),
    "a long private sequence": lambda d: d.private_block(0x000B, "JUNK", create=True).add_new(
        0x01, "SQ", [Dataset() for _ in range(2000)]
    ),
    "a UID with leading zeros": lambda d: setattr(d, "StudyInstanceUID", "1.2.003.04"),
    "trailing padding after the pixels": lambda d: d.add_new(0xFFFCFFFC, "OB", bytes(1000)),
}


@pytest.mark.parametrize("what", ODD)
def test_an_odd_object_is_kept_as_it_came(what, spool):
    item = ct(ODD[what])
    stored = spool.store(item.data, item.transfer)
    assert data_set_of(stored.path) == item.data


def test_a_name_in_another_character_set_than_announced_is_kept_as_it_came(spool):
    item = with_raw(b"CompressedSamples^CT1", b"\xff\xfempressedSamples^C\xe9\x1b")
    assert data_set_of(spool.store(item.data, item.transfer).path) == item.data


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"\x28\x00\x10\x00US", b"\x28\x00\x10\x00ZZ"),
        (b"\x28\x00\x10\x00US", b"\x28\x00\x10\x00\0\0"),
        (b"\x08\x00\x18\x00UI", b"\x08\x00\x18\x00SQ"),
    ],
)
def test_a_wrong_vr_is_refused_with_a_reason(before, after, spool):
    item = with_raw(before, after)
    with pytest.raises(InvalidInstanceError):
        spool.store(item.data, item.transfer)
    assert len(list(spool.quarantined())) == 1


@pytest.mark.parametrize("uid", ["../../etc/passwd", "..", "/", "1.2/3", "a" * 64, "1" * 65])
@pytest.mark.filterwarnings("ignore:Invalid value for VR UI", "ignore:The value length")
def test_a_uid_that_is_a_path_never_is_one(uid, tmp_path):
    root = tmp_path / "spool"
    item = ct(lambda dataset: dataset.add_new(0x0020000D, "UI", uid))
    with Spool(root) as spool, pytest.raises(InvalidUIDError):
        spool.store(item.data, item.transfer)
    outside = [path for path in tmp_path.rglob("*") if root not in (path, *path.parents)]
    assert outside == []


def test_a_deflate_bomb_is_refused(tmp_path):
    bomb = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    data = b"".join(bomb.compress(bytes(2**20)) for _ in range(64)) + bomb.flush()
    with Spool(tmp_path, inflated_limit=2**24) as spool, pytest.raises(InvalidInstanceError) as e:
        spool.store(data, TransferInfo(DEFLATED, CT, "1.2.3", "CT1", "NODE"))
    assert "inflates to over" in e.value.reason


def test_empty_items_without_end_do_not_keep_a_thread_busy(spool):
    items = bytes.fromhex("08001511 ffffffff") + bytes.fromhex("feff00e0 00000000") * 2_100_000
    with pytest.raises(InvalidInstanceError, match="more than"):
        spool.store(items, TransferInfo("1.2.840.10008.1.2", CT, "1.2.3", "CT1", "NODE"))


def test_an_encapsulated_image_whose_fragments_are_broken_is_refused(spool):
    item = received(bundled("MR_small_RLE.dcm"))
    start = item.data.index(b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff")
    data = bytearray(item.data)
    data[start + 16 : start + 20] = b"\xff\xff\xff\x7f"
    with pytest.raises(InvalidInstanceError):
        spool.store(bytes(data), item.transfer)


def test_the_association_goes_on_after_every_kind_of_broken_object(start_scp, spool, tmp_path):
    paths = []
    for number, change in enumerate(BROKEN.values()):
        item = ct(change)
        path = tmp_path / f"{number}.dcm"
        paths.append(write_part10(path, item.data, sop_instance_uid=f"1.2.3.{number + 1}"))
    good = tmp_path / "good.dcm"
    good.write_bytes(bundled("CT_small.dcm").read_bytes())
    scp = start_scp()
    outcomes = store(peer_of(scp), [*paths, good])
    assert outcomes[-1].status == 0
    assert all(outcome.status in (0xA900, 0xC000) for outcome in outcomes[:-1])
    assert scp.statistics.associations == 1
    assert len(list(spool.quarantined())) == len(paths)


def real_files(folder: Path) -> list[Received]:
    """Real files of moderate size, one of each transfer syntax and SOP class."""
    found: dict[tuple[str, str], Received] = {}
    for path in sorted(folder.rglob("*.dcm")):
        if path.stat().st_size > 600_000:
            continue
        with suppress(Exception):
            item = received(path)
            key = (item.transfer.transfer_syntax_uid, item.transfer.sop_class_uid)
            found.setdefault(key, item)
    return list(found.values())


@st.composite
def damage(draw: st.DrawFn, data: bytes) -> bytes:
    """Flip, cut, repeat, insert or blank a part, a few times."""
    damaged = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        # Headers are dense at the beginning, and damage there is the more interesting.
        reach = len(damaged) if draw(st.booleans()) else min(len(damaged), 2000)
        at = draw(st.integers(0, max(reach - 1, 0)))
        length = draw(st.integers(1, 64))
        match draw(st.sampled_from(("flip", "cut", "repeat", "insert", "blank", "end"))):
            case "flip" if at < len(damaged):
                damaged[at] ^= 1 << draw(st.integers(0, 7))
            case "cut":
                del damaged[at : at + length]
            case "repeat":
                damaged[at:at] = damaged[at : at + length]
            case "insert":
                damaged[at:at] = draw(st.binary(min_size=1, max_size=16))
            case "blank":
                damaged[at : at + length] = bytes(len(damaged[at : at + length]))
            case "end":
                del damaged[at:]
    return bytes(damaged)


@pytest.mark.soak
def test_real_files_damaged_in_any_way_are_kept_or_refused_with_a_reason(
    shared_data, tmp_path_factory
):
    samples = real_files(shared_data / "dicom")
    assert len(samples) > 10
    with Spool(tmp_path_factory.mktemp("fuzz")) as spool:

        @settings(
            max_examples=soak_rounds(short=150, long=50_000),
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(st.data())
        def fuzz(data: st.DataObject) -> None:
            sample = data.draw(st.sampled_from(samples))
            damaged = data.draw(damage(sample.data))
            with suppress(InvalidInstanceError):  # anything else is a crash
                stored = spool.store(damaged, sample.transfer)
                assert data_set_of(stored.path) == damaged
                stored.path.unlink()

        fuzz()
