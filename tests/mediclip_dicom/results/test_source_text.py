"""Text of sources in results: the same bytes, whatever they are and whatever they declare."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from highdicom._standard_utils import get_module_attribute_map
from pydicom import dcmread
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import ImplicitVRLittleEndian

from listener import EncodedText
from mediclip_dicom.errors import ResultWriteError
from mediclip_dicom.results import Device, write_results
from tests.factories import sources
from tests.factories.readings import ALL, image_readings, make_reading

MODULES = (
    "patient",
    "general-study",
    "patient-study",
    "clinical-trial-subject",
    "clinical-trial-study",
)
COPIED = sorted(
    {
        attribute["keyword"]
        for module in MODULES
        for attribute in get_module_attribute_map()[module]
        if not attribute["path"]
    }
)
TEXT_VRS = frozenset(("LO", "LT", "PN", "SH", "ST", "UC", "UT"))
TEXT = [keyword for keyword in COPIED if dictionary_VR(str(keyword)) in TEXT_VRS]
STRINGS = [
    keyword
    for keyword in COPIED
    if dictionary_VR(str(keyword)) in ("AS", "CS", "DA", "DS", "IS", "TM")
]

VALUES = {
    "two values": b"DOE^JOHN\\SMITH^J",
    "latin-1": "M\u00fcller^J\u00f6rg".encode("latin-1"),
    "utf-8": "M\u00fcller^J\u00f6rg".encode(),
    "cut utf-8": "M\u00fcller".encode()[:2],
    "no character set at all": b"\xff\xfe\x80^\x00\x9f",
    "second byte a backslash": "\u4e57^\u8aa0".encode("gbk"),
    "escapes": b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B",
    "broken escape": b"Yamada=\x1b$",
    "control characters": b"A\tB\r\nC",
    "NULs behind": b"ABC\0\0\0",
    "a stand-in of ours": b"~mc0",
    "long": b"N" * 300,
}
CHARACTER_SETS: dict[str, str | list[str] | None] = {
    "none": None,
    "latin-1": "ISO_IR 100",
    "utf-8": "ISO_IR 192",
    "gb18030": "GB18030",
    "japanese": ["", "ISO 2022 IR 87"],
    "unknown": "UNKNOWN_CS",
}


def text(keyword: str, value: bytes) -> EncodedText:
    tag = tag_for_keyword(keyword)
    assert tag is not None
    return EncodedText(tag, dictionary_VR(tag), value)


def source(folder: Path, *, character_set: str | list[str] | None = "ISO_IR 100") -> Dataset:
    dataset = dcmread(sources.mr_series(folder)[0])
    if character_set is None:
        del dataset.SpecificCharacterSet
    else:
        dataset.SpecificCharacterSet = character_set
    return dataset


def written(
    dataset: Dataset, folder: Path, device: Device, *, kinds: Sequence[str] = ALL
) -> list[Dataset]:
    path = sources.write(dataset, folder / "odd.dcm")
    reading = make_reading(image_readings(path))
    objects = write_results(reading, device=device, directory=folder / "results", kinds=kinds)  # type: ignore[arg-type]
    assert {each.kind for each in objects} == set(kinds)
    return [dcmread(each.path) for each in objects]


def encoded(dataset: Dataset, keyword: str) -> bytes | None:
    """The value as it is in the file, without the padding to an even length."""
    element = dataset.get_item(keyword)
    assert element is None or isinstance(element, RawDataElement)
    return None if element is None or element.value is None else element.value


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("value", VALUES.values(), ids=list(VALUES))
def test_text_of_every_attribute_is_carried_byte_for_byte(
    value: bytes, tmp_path: Path, device: Device
) -> None:
    dataset = source(tmp_path)
    for keyword in TEXT:
        dataset.add(text(keyword, value))
    padded = value + b" " * (len(value) % 2)
    for result in written(dataset, tmp_path, device):
        for keyword in TEXT:
            # A module that the object does not have is not copied.
            assert encoded(result, keyword) in (padded, None), keyword
        for keyword in ("PatientName", "PatientID", "ReferringPhysicianName", "StudyID"):
            assert encoded(result, keyword) == padded, keyword


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("declared", CHARACTER_SETS.values(), ids=list(CHARACTER_SETS))
def test_the_declared_character_set_goes_with_the_text(
    declared: str | list[str] | None, tmp_path: Path, device: Device
) -> None:
    dataset = source(tmp_path, character_set=declared)
    dataset.add(text("PatientName", "M\u00fcller".encode("latin-1") + b"^\xe4"))
    before = dcmread(sources.write(dataset, tmp_path / "x.dcm")).get("SpecificCharacterSet")
    for result in written(dataset, tmp_path, device):
        assert result.get("SpecificCharacterSet") == before
        assert encoded(result, "PatientName") == b"M\xfcller^\xe4"


@pytest.mark.filterwarnings("ignore")
def test_text_in_items_that_results_copy_is_carried_with_its_own_character_set(
    tmp_path: Path, device: Device
) -> None:
    dataset = source(tmp_path)
    request = Dataset()
    request.SpecificCharacterSet = "ISO_IR 144"
    request.add(text("RequestedProcedureDescription", b"\xdc\xe0\\x"))
    request.add(text("RequestedProcedureID", b"7\\8"))
    dataset.RequestAttributesSequence = Items([request])
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator = "1", "99X"
    code.add(text("CodeMeaning", b"Sch\xe4del"))
    dataset.ProcedureCodeSequence = Items([code])
    report, *_ = [
        result
        for result in written(dataset, tmp_path, device)
        if result.SOPClassUID == "1.2.840.10008.5.1.4.1.1.88.34"
    ]
    (item,) = report.ReferencedRequestSequence
    assert encoded(item, "RequestedProcedureDescription") == b"\xdc\xe0\\x"
    assert encoded(item, "RequestedProcedureID") == b"7\\8 "
    assert item.SpecificCharacterSet == "ISO_IR 144"
    assert encoded(report.ProcedureCodeSequence[0], "CodeMeaning") == b"Sch\xe4del "
    procedure = [
        each.ConceptCodeSequence[0]
        for each in report.ContentSequence
        if each.ConceptNameCodeSequence[0].CodeValue == "121058"
    ]
    assert [encoded(each, "CodeMeaning") for each in procedure] == [b"Sch\xe4del "]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("value", [b"A\\B", b"\xff\xfe", b"1.5m", b"70,5", b"\\", b"??"])
def test_an_illegal_value_of_any_other_attribute_is_no_obstacle(
    value: bytes, tmp_path: Path, device: Device
) -> None:
    dataset = source(tmp_path)
    for keyword in STRINGS:
        tag = tag_for_keyword(keyword)
        assert tag is not None
        dataset.add(EncodedText(tag, dictionary_VR(tag), value))
    for result in written(dataset, tmp_path, device):
        assert result.PatientSex in ("", None)
        assert result.StudyDate in ("", None)


@pytest.mark.filterwarnings("ignore")
def test_a_text_too_long_for_its_result_is_left_empty(tmp_path: Path, device: Device) -> None:
    dataset = source(tmp_path)
    dataset.add(text("PatientName", b"N" * 70_000))
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    for result in written(dataset, tmp_path, device):
        assert not result.PatientName
        assert result.PatientID == "TEST-1"


@pytest.mark.filterwarnings("ignore")
def test_odd_text_is_written_the_same_at_a_repeat(tmp_path: Path, device: Device) -> None:
    dataset = source(tmp_path)
    dataset.add(text("PatientName", b"M\xfcller\\B"))
    written(dataset, tmp_path, device)
    first = {path.name: path.read_bytes() for path in results_in(tmp_path)}
    written(dataset, tmp_path, device)
    assert {path.name: path.read_bytes() for path in results_in(tmp_path)} == first


def results_in(folder: Path) -> Iterator[Path]:
    return (folder / "results").glob("*.dcm")


def test_a_full_disk_is_told_as_one(
    tmp_path: Path, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("mediclip_dicom.results.writing.os.fsync", full)
    with pytest.raises(ResultWriteError, match="No space left on device"):
        written(source(tmp_path), tmp_path, device)


def test_a_source_that_is_gone_is_told_as_one(tmp_path: Path, device: Device) -> None:
    path = sources.mr_series(tmp_path)[0]
    reading = make_reading(image_readings(path))
    path.unlink()
    with pytest.raises(ResultWriteError, match="No such file or directory"):
        write_results(reading, device=device, directory=tmp_path / "results")


def test_a_fault_of_the_program_is_told_with_its_place_and_not_as_the_disks(
    tmp_path: Path, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise TypeError("Doe^John is no name")

    monkeypatch.setattr("mediclip_dicom.results.writing.build_report", broken)
    with pytest.raises(ResultWriteError) as caught:
        written(source(tmp_path), tmp_path, device)
    told = str(caught.value)
    assert "TypeError at test_source_text.py" in told
    assert "disk" not in told
    assert "Doe" not in told
