"""The report as Comprehensive or Enhanced SR: the same words, another object."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ComprehensiveSRStorage, CTImageStorage, EnhancedSRStorage

from listener import EncodedText
from mediclip_dicom.results import (
    COMPREHENSIVE_3D_SR,
    OTHER_REPORT_KINDS,
    RESULT_SOP_CLASSES,
    Device,
    PreviousReport,
    other_report,
    other_report_uids,
    write_results,
)
from tests.factories import sources
from tests.factories.readings import ALL, KINDS, image_readings, make_reading

CLASSES = [str(ComprehensiveSRStorage), str(EnhancedSRStorage)]
PREVIOUS = PreviousReport(
    sop_class_uid=str(COMPREHENSIVE_3D_SR),
    sop_instance_uid="2.25.100",
    series_instance_uid="2.25.101",
)


def report_of(paths: list[Path], folder: Path, device: Device, **changes: object) -> Path:
    images = [image for path in paths for image in image_readings(path)]
    written = write_results(make_reading(images, **changes), device=device, directory=folder)
    (report,) = [each.path for each in written if each.kind == "SR"]
    return report


def content(item: Dataset) -> Iterator[tuple[object, ...]]:
    """Every content item: relationship, type, name, and value where it is a text or a number."""
    for child in item.get("ContentSequence") or ():
        names = child.get("ConceptNameCodeSequence") or [Dataset()]
        numbers = [each.NumericValue for each in child.get("MeasuredValueSequence") or ()]
        yield (
            child.RelationshipType,
            child.ValueType,
            names[0].get("CodeValue"),
            child.get("TextValue"),
            *numbers,
        )
        yield from content(child)


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("sop_class", CLASSES, ids=["Comprehensive", "Enhanced"])
def test_it_says_the_same_without_an_error_of_dciodvfy(
    sop_class: str,
    kind: str,
    tmp_path: Path,
    device: Device,
    dciodvfy_errors: Callable[[Path], list[str]],
) -> None:
    path = report_of(KINDS[kind](tmp_path), tmp_path / "results", device)
    first, other = dcmread(path), other_report(path, sop_class)
    made = dcmread(other.path)
    assert list(content(made)) == list(content(first))
    assert len(list(content(made))) > 10
    assert dciodvfy_errors(other.path) == []
    assert (made.SOPClassUID, made.file_meta.MediaStorageSOPClassUID) == (sop_class, sop_class)
    uid = other_report_uids(first.SOPInstanceUID)[sop_class]
    assert made.SOPInstanceUID == made.file_meta.MediaStorageSOPInstanceUID == uid
    assert uid != first.SOPInstanceUID
    assert made.PatientName == first.PatientName
    assert made.SeriesInstanceUID == first.SeriesInstanceUID


def test_each_class_has_a_uid_of_its_own_that_stays() -> None:
    uids = other_report_uids("2.25.1")
    assert len({*uids.values(), "2.25.1"}) == 3
    assert uids == other_report_uids("2.25.1")
    assert uids.keys() == OTHER_REPORT_KINDS.keys()
    assert uids[CLASSES[0]] == "2.25.144321667583572996934533804609542291743"


def test_a_repeat_writes_the_same_bytes_and_leaves_nothing_else(
    tmp_path: Path, device: Device
) -> None:
    path = report_of(sources.mr_series(tmp_path), tmp_path / "results", device)
    before = path.read_bytes()
    first = other_report(path, CLASSES[0])
    encoded = first.path.read_bytes()
    assert other_report(path, CLASSES[0]) == first
    assert first.path.read_bytes() == encoded
    assert path.read_bytes() == before
    assert not list(path.parent.glob(".writing*"))


@pytest.mark.filterwarnings("ignore")
def test_text_of_the_source_is_the_same_bytes(tmp_path: Path, device: Device) -> None:
    source = dcmread(sources.mr_series(tmp_path)[0])
    source.SpecificCharacterSet = "ISO_IR 192"
    source.add(EncodedText(0x00100010, "PN", b"M\xfcller\\B"))
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator = "1", "99X"
    code.add(EncodedText(0x00080104, "LO", b"Sch\xe4del"))
    source.ProcedureCodeSequence = Sequence([code])
    path = report_of([sources.write(source, tmp_path / "odd.dcm")], tmp_path / "r", device)
    made = dcmread(other_report(path, CLASSES[1]).path)
    name = made.get_item("PatientName")
    assert isinstance(name, RawDataElement)
    assert name.value == b"M\xfcller\\B"
    meaning = made.ProcedureCodeSequence[0].get_item("CodeMeaning")
    assert isinstance(meaning, RawDataElement)
    assert meaning.value == b"Sch\xe4del "
    assert made.SpecificCharacterSet == "ISO_IR 192"


def test_its_predecessor_is_the_other_report_on_the_revision_before(
    tmp_path: Path, device: Device
) -> None:
    path = report_of(
        sources.mr_series(tmp_path), tmp_path / "results", device, predecessor=PREVIOUS
    )
    made = dcmread(other_report(path, CLASSES[0]).path)
    (item,) = made.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence
    assert item.ReferencedSOPClassUID == CLASSES[0]
    assert item.ReferencedSOPInstanceUID == other_report_uids("2.25.100")[CLASSES[0]]


def test_coordinates_in_space_are_left_out_and_all_else_stays(
    tmp_path: Path, device: Device
) -> None:
    path = report_of(sources.mr_series(tmp_path), tmp_path / "results", device)
    report = dcmread(path)
    point = Dataset()
    point.RelationshipType, point.ValueType = "CONTAINS", "SCOORD3D"
    point.GraphicType, point.GraphicData = "POINT", [1.0, 2.0, 3.0]
    point.ReferencedFrameOfReferenceUID = "1.2.3"
    report.ContentSequence.append(point)
    text = next(each for each in report.ContentSequence if each.ValueType == "CODE")
    text.ContentSequence = Sequence([point])
    report.save_as(path)
    made = dcmread(other_report(path, CLASSES[0]).path)
    assert [each for each in content(made) if each[1] == "SCOORD3D"] == []
    assert list(content(made)) == [each for each in content(dcmread(path)) if each[1] != "SCOORD3D"]


def test_a_report_is_never_made_as_another_class(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=str(CTImageStorage)):
        other_report(tmp_path / "x.dcm", str(CTImageStorage))


def test_every_kind_is_written_in_the_class_that_a_peer_is_asked_for(
    tmp_path: Path, device: Device
) -> None:
    images = image_readings(sources.mr_series(tmp_path)[0])
    written = write_results(make_reading(images), device=device, directory=tmp_path, kinds=ALL)
    assert {each.kind: each.sop_class_uid for each in written} == {
        kind: classes[0] for kind, classes in RESULT_SOP_CLASSES.items()
    }
