"""highdicom as `mediclip_dicom.results` needs it: arguments by name, defects worked around.

No private name of highdicom is used. Its constructors are called with many keywords, though, and
version 0.28 has defects for which there is code of ours. A test here that fails after an update
names the module to look at: a changed argument is to be followed there, and where a defect is
mended, code of ours may go.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian

import mediclip_dicom.results
from mediclip_dicom.results import Device
from mediclip_dicom.results.identity import equipment_arguments
from tests.factories.sources import computed_radiograph, mr_series, ultrasound

RESULTS = Path(mediclip_dicom.results.__file__).parent

MULTIFRAME = {
    "source_images", "pixel_array", "content_label", "content_description", "transfer_syntax_uid",
    "series_instance_uid", "series_number", "sop_instance_uid", "instance_number",
    "series_description", "manufacturer", "manufacturer_model_name", "software_versions",
    "device_serial_number", "contributing_equipment", "specific_character_set",
}  # fmt: skip
EQUIPMENT = {
    "manufacturer", "manufacturer_model_name", "software_versions", "device_serial_number",
    "contributing_equipment", "specific_character_set",
}  # fmt: skip
DOCUMENT = EQUIPMENT | {
    "evidence", "content", "series_instance_uid", "series_number", "sop_instance_uid",
    "instance_number", "series_description", "requested_procedures", "transfer_syntax_uid",
}  # fmt: skip

USED = [
    ("segmentation.py", hd.seg.Segmentation, MULTIFRAME | {
        "segmentation_type", "segment_descriptions", "omit_empty_frames",
    }),
    ("segmentation.py", hd.seg.SegmentDescription, {
        "segment_number", "segment_label", "segmented_property_category",
        "segmented_property_type", "algorithm_type", "algorithm_identification", "tracking_uid",
        "tracking_id", "display_color",
    }),
    ("maps.py", hd.pm.ParametricMap, MULTIFRAME | {
        "contains_recognizable_visual_features", "real_world_value_mappings",
        "voi_lut_transformations",
    }),
    ("maps.py", hd.pm.RealWorldValueMapping, {
        "lut_label", "lut_explanation", "unit", "value_range", "slope", "intercept",
    }),
    ("maps.py", hd.VOILUTTransformation, {"window_center", "window_width"}),
    ("report.py", hd.sr.Comprehensive3DSR, DOCUMENT | {
        "is_complete", "is_final", "is_verified", "previous_versions", "coding_schemes",
    }),
    ("report.py", hd.coding_schemes.CodingSchemeIdentificationItem, {
        "designator", "name", "responsible_organization",
    }),
    ("flagged.py", hd.ko.KeyObjectSelectionDocument, DOCUMENT),
    ("flagged.py", hd.ko.KeyObjectSelection, {
        "document_title", "referenced_objects", "observer_device_context", "description",
    }),
    ("flagged.py", hd.sc.SCImage.from_ref_dataset, EQUIPMENT | {
        "ref_dataset", "pixel_array", "photometric_interpretation", "bits_allocated",
        "coordinate_system", "patient_orientation", "transfer_syntax_uid",
    }),
    ("identity.py", hd.AlgorithmIdentificationSequence, {
        "name", "family", "version", "source", "parameters",
    }),
    ("identity.py", hd.ContributingEquipment, {
        "manufacturer", "manufacturer_model_name", "software_versions", "device_serial_number",
        "contribution_description",
    }),
    ("observer.py", hd.sr.DeviceObserverIdentifyingAttributes, {
        "uid", "name", "manufacturer_name", "model_name", "serial_number",
    }),
    ("planes.py", hd.spatial.get_volume_positions, {"image_positions", "image_orientation"}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("module", "used", "keywords"), USED, ids=lambda value: getattr(value, "__qualname__", "")
)
def test_every_keyword_that_we_pass_exists(module: str, used: Any, keywords: set[str]) -> None:
    parameters = inspect.signature(used).parameters.values()
    # SCImage.from_ref_dataset hands everything else on to SCImage.
    names = {parameter.name for parameter in parameters}
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        names |= set(inspect.signature(hd.base.SOPClass).parameters)
    missing = sorted(keywords - names)
    assert not missing, f"mediclip_dicom/results/{module} passes {missing} to {used.__qualname__}"


def test_no_private_name_is_used() -> None:
    for module in sorted(RESULTS.rglob("*.py")):
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("highdicom"):
                names = [*str(node.module).split("."), *(alias.name for alias in node.names)]
                private = [name for name in names if name.startswith("_")]
                assert not private, f"{module.name}: add {private} to this test"


@pytest.fixture
def slices(tmp_path: Path) -> list[Dataset]:
    return [dcmread(path) for path in mr_series(tmp_path, slices=2)]


def identity(device: Device) -> dict[str, Any]:
    return {
        "series_instance_uid": "2.25.1",
        "series_number": 1,
        "sop_instance_uid": "2.25.2",
        "instance_number": 1,
        **equipment_arguments(device),
    }


def segmentation(sources: list[Dataset], device: Device, **changes: Any) -> Dataset:
    description = hd.seg.SegmentDescription(
        segment_number=1,
        segment_label="anomaly",
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Lesion,
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL,
    )
    shape = (len(sources), sources[0].Rows, sources[0].Columns)
    result: Dataset = hd.seg.Segmentation(
        source_images=sources,
        pixel_array=np.ones(shape, dtype=np.uint8),
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[description],
        **{**identity(device), **changes},
    )
    return result


def parametric_map(sources: list[Dataset], device: Device) -> Dataset:
    shape = (len(sources), sources[0].Rows, sources[0].Columns)
    result: Dataset = hd.pm.ParametricMap(
        source_images=sources,
        pixel_array=np.zeros(shape, dtype=np.float32),
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[
            hd.pm.RealWorldValueMapping(
                lut_label="MAP",
                lut_explanation="map",
                unit=codes.UCUM.NoUnits,
                value_range=(0.0, 1.0),
                slope=1.0,
                intercept=0.0,
            )
        ],
        voi_lut_transformations=[hd.VOILUTTransformation(window_center=0.5, window_width=1.0)],
        transfer_syntax_uid=ExplicitVRLittleEndian,
        **identity(device),
    )
    return result


MENDED = "highdicom has mended this: its code in mediclip_dicom/results/{} may go"


@contextmanager
def refused(error: type[Exception], *, match: str, module: str) -> Iterator[None]:
    """Expect highdicom to refuse this, and name the module to look at if it does not."""
    try:
        with pytest.raises(error, match=match):
            yield
    except pytest.fail.Exception as failure:
        raise pytest.fail.Exception(MENDED.format(module)) from failure


def test_the_character_set_with_an_empty_first_value_is_refused(
    slices: list[Dataset], device: Device
) -> None:
    with refused(ValueError, match="SpecificCharacterSetValues", module="source.py"):
        segmentation(slices, device, specific_character_set=("", "ISO 2022 IR 87"))


def test_a_source_of_an_unknown_class_is_refused(slices: list[Dataset], device: Device) -> None:
    result = segmentation(slices, device)
    slices[0].SOPClassUID = "1.2.3.4"
    with refused(KeyError, match=r"1\.2\.3\.4", module="report.py (SECONDARY_CAPTURE)"):
        result.copy_patient_and_study_information(slices[0])


def test_a_parametric_map_of_an_image_without_a_place_is_refused(
    tmp_path: Path, device: Device
) -> None:
    source = dcmread(computed_radiograph(tmp_path))
    with refused(RuntimeError, match="dimension index", module="maps.py (save_maps)"):
        parametric_map([source], device)


def test_an_ultrasound_of_several_frames_is_refused(tmp_path: Path, device: Device) -> None:
    source = dcmread(ultrasound(tmp_path, frames=2))
    with refused(ValueError, match="Only a single frame", module="planes.py (SourcePlanes)"):
        segmentation([source], device)


def test_a_parametric_map_lacks_the_frame_anatomy(slices: list[Dataset], device: Device) -> None:
    shared = parametric_map(slices, device).SharedFunctionalGroupsSequence[0]
    assert "FrameAnatomySequence" not in shared, MENDED.format("maps.py (_complete)")
    values = shared.PixelValueTransformationSequence[0]
    assert str(values.RescaleSlope) != "1", MENDED.format("maps.py (_complete)")


def test_dimension_organizations_are_drawn_at_random(slices: list[Dataset], device: Device) -> None:
    first, second = (
        segmentation(slices, device).DimensionOrganizationSequence[0].DimensionOrganizationUID
        for _ in range(2)
    )
    assert first != second, MENDED.format("multiframe.py (SeriesOf.finish)")
