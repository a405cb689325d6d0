"""Every kind of result passes dicom-validator, by the tables of the standard that PyPI has."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from dicom_validator.spec_reader.edition_reader import EditionReader
from dicom_validator.validator.dicom_file_validator import DicomFileValidator
from dicom_validator.validator.validation_result import ErrorCode, Status
from pydicom import Dataset, dcmread
from pydicom.uid import (
    Comprehensive3DSRStorage,
    KeyObjectSelectionDocumentStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    ParametricMapStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)

from mediclip_dicom.results import Device, write_results
from tests.factories.readings import ALL, KINDS, image_readings, make_reading
from tests.mediclip_dicom.results.docbook import EDITION, write_standard

SOP_CLASSES = (
    Comprehensive3DSRStorage,
    KeyObjectSelectionDocumentStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    ParametricMapStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)

# Contributing Equipment got its Device UID (PS3.3 C.12.1.1.5) after that edition.
LATER = "sop-common: (0018,A001) / (0018,1002) TagUnexpected"


@pytest.fixture(scope="module")
def validator(tmp_path_factory: pytest.TempPathFactory) -> DicomFileValidator:
    reader = EditionReader(write_standard(tmp_path_factory.mktemp("standard"), SOP_CLASSES))
    assert reader.get_edition_path(EDITION) is not None
    return DicomFileValidator(reader.load_dicom_info(EDITION))


def faults(validator: DicomFileValidator, path: Path) -> set[str]:
    result = validator.validate(path)[str(path)]
    assert result.status in (Status.Passed, Status.Failed), result.status
    return {
        f"{module}: {tag} {error.code.name}"
        for module, errors in result.module_errors.items()
        for tag, error in errors.items()
        if error.code is not ErrorCode.NoError
    }


@pytest.mark.parametrize("kind", KINDS)
def test_dicom_validator_finds_no_error(
    validator: DicomFileValidator, tmp_path: Path, device: Device, kind: str
) -> None:
    images = [image for path in KINDS[kind](tmp_path) for image in image_readings(path)]
    objects = write_results(
        make_reading(images), device=device, directory=tmp_path / "out", kinds=ALL
    )
    assert objects
    for result in objects:
        assert faults(validator, result.path) == {LATER}, result.kind


def test_dicom_validator_would_find_what_is_missing(
    validator: DicomFileValidator, tmp_path: Path, device: Device
) -> None:
    """In a module, in the functional groups, and deep in a content tree."""
    images = [image for path in KINDS["MR"](tmp_path) for image in image_readings(path)]
    objects = write_results(
        make_reading(images), device=device, directory=tmp_path / "out", kinds=("PM", "SR")
    )
    parametric_map, report = (
        next(result.path for result in objects if result.kind == kind) for kind in ("PM", "SR")
    )
    dataset = dcmread(parametric_map)
    del dataset.ContentCreatorName
    del dataset.SharedFunctionalGroupsSequence[0].FrameAnatomySequence
    dataset.save_as(parametric_map)
    assert tags_missing(validator, parametric_map) == {"(0070,0084)", "(0020,9071)"}

    dataset = dcmread(report)
    number = next(item for item in content_items(dataset) if item.ValueType == "NUM")
    del number.MeasuredValueSequence[0].MeasurementUnitsCodeSequence
    code = next(item for item in content_items(dataset) if item.ValueType == "CODE")
    del code.ConceptCodeSequence
    dataset.save_as(report)
    assert tags_missing(validator, report) == {"(0040,08EA)", "(0040,A168)"}


def tags_missing(validator: DicomFileValidator, path: Path) -> set[str]:
    missing = [fault for fault in faults(validator, path) if fault.endswith("TagMissing")]
    return {fault.split()[-2] for fault in missing}


def content_items(parent: Dataset) -> Iterator[Dataset]:
    for item in parent.get("ContentSequence") or ():
        yield item
        yield from content_items(item)
