"""Anomaly maps as FRACTIONAL Segmentation or Parametric Map, with every scored frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from highdicom import VOILUTTransformation
from highdicom.pm import ParametricMap, RealWorldValueMapping
from highdicom.seg import (
    SegmentAlgorithmTypeValues,
    Segmentation,
    SegmentationFractionalTypeValues,
    SegmentationTypeValues,
    SegmentDescription,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian

from mediclip_dicom.results.device import Device
from mediclip_dicom.results.identity import (
    algorithm_identification,
    derive_uid,
    to_ascii,
)
from mediclip_dicom.results.multiframe import GEOMETRY_ERRORS, ResultSeries, Save, part_key, refusal
from mediclip_dicom.results.planes import SourcePlanes, group_by_stack
from mediclip_dicom.results.reading import ImageReading, Reading
from mediclip_dicom.results.segmentation import concept
from mediclip_dicom.results.source import frame_anatomy
from mediclip_dicom.settings import ResultKind

# The pixels of one object, four bytes each; highdicom sorts a copy of them.
LARGEST_MAP_BYTES = 64 * 2**20

_LARGEST_FRACTION = 255
_LABELS = {"FRACTIONAL": "fractional map", "PM": "parametric map"}


def save_maps(reading: Reading, *, kind: ResultKind, device: Device, save: Save) -> tuple[str, ...]:
    """Make the maps of all scored frames, whatever the verdict, on the grid of their sources.

    Args:
        kind: "FRACTIONAL" for Segmentations (8 bits), "PM" for Parametric Maps (float32).

    Returns:
        What could not be made and why, for the report; no patient data.
    """
    series = ResultSeries(reading, device, kind, _LABELS[kind])
    problems: list[str] = []
    for key, stack in group_by_stack(reading.images).items():
        for number, part in enumerate(_parts(stack), start=1):
            if kind == "PM" and part[0].plane is None:
                # highdicom 0.28 fails on it (it finds no dimension to index the frame by).
                error = ValueError("an image without a place in a frame of reference has none")
                problems.append(refusal(_LABELS[kind], part[0], error, frames=len(part)))
                continue
            try:
                dataset = _build(series, part, stack=stack, key=part_key(key, number))
            except GEOMETRY_ERRORS as error:
                problems.append(refusal(_LABELS[kind], part[0], error, frames=len(part)))
                continue
            save(kind, dataset)
    return tuple(problems)


def source_map(image: ImageReading) -> npt.NDArray[np.float32]:
    """Resample the map onto the source's pixels, in [0, 1].

    Raises:
        ValueError: the frame was not scored.
    """
    if image.placement is None:
        raise ValueError("a frame that was not scored has no map")
    return np.clip(image.placement.to_source(image.read_map()), 0.0, 1.0)


def _parts(stack: Sequence[ImageReading]) -> Iterator[Sequence[ImageReading]]:
    header = stack[0].header
    size = max(1, LARGEST_MAP_BYTES // (4 * header.rows * header.columns))
    for start in range(0, len(stack), size):
        yield stack[start : start + size]


def _build(
    series: ResultSeries, part: Sequence[ImageReading], *, stack: Sequence[ImageReading], key: str
) -> Dataset:
    planes = SourcePlanes(part, stack=stack)
    pixels = np.stack([source_map(image) for image in part])
    arguments = series.arguments(part[0], key=key)
    if series.kind == "PM":
        dataset: Dataset = _parametric_map(planes, pixels, **arguments)
        _complete(dataset, planes.datasets[0])
    else:
        dataset = _fractional(series, planes, pixels, key=key, **arguments)
    length = len(dataset.get("PixelData") or dataset.get("FloatPixelData") or b"")
    series.finish(dataset, planes, part[0], key=key, pixel_bytes=length)
    return dataset


def _parametric_map(
    planes: SourcePlanes, pixels: npt.NDArray[np.float32], **arguments: Any
) -> Dataset:
    return ParametricMap(
        source_images=planes.datasets,
        pixel_array=pixels,
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[
            RealWorldValueMapping(
                lut_label="ANOMALY_MAP",
                lut_explanation="Anomaly score, not a probability",
                unit=codes.UCUM.NoUnits,
                value_range=(0.0, 1.0),
                slope=1.0,
                intercept=0.0,
            )
        ],
        voi_lut_transformations=[VOILUTTransformation(window_center=0.5, window_width=1.0)],
        content_label="ANOMALY_MAP",
        content_description="Anomaly map, not for diagnostic use",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        **arguments,
    )


def _complete(dataset: Dataset, source: Dataset) -> None:
    """Add the attributes that the IOD (PS3.3 A.75) requires and highdicom 0.28 leaves out."""
    shared = dataset.SharedFunctionalGroupsSequence[0]
    shared.FrameAnatomySequence = [frame_anatomy(source)]
    # The enumerated values of table C.7.6.16-10b are written without decimals.
    for item in shared.PixelValueTransformationSequence:
        item.RescaleIntercept, item.RescaleSlope = "0", "1"


def _fractional(
    series: ResultSeries,
    planes: SourcePlanes,
    pixels: npt.NDArray[np.float32],
    *,
    key: str,
    **arguments: Any,
) -> Dataset:
    reading = series.reading
    name = to_ascii(reading.task_name)
    description = SegmentDescription(
        segment_number=1,
        segment_label="Anomaly map",
        segmented_property_category=concept(reading.category),
        segmented_property_type=concept(reading.type),
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=algorithm_identification(reading, series.device),
        tracking_uid=derive_uid(reading, "tracking", "map", key),
        tracking_id=f"{name} version {reading.task_version} map",
    )
    description.SegmentDescription = (
        f"Anomaly score, 0 to {_LARGEST_FRACTION} for 0 to 1. The standard has only the words "
        "probability and occupancy for it; it is neither. Not for diagnostic use."
    )
    return Segmentation(
        source_images=planes.datasets,
        pixel_array=pixels,
        segmentation_type=SegmentationTypeValues.FRACTIONAL,
        fractional_type=SegmentationFractionalTypeValues.PROBABILITY,
        max_fractional_value=_LARGEST_FRACTION,
        segment_descriptions=[description],
        content_label="ANOMALY_MAP",
        content_description="Anomaly map, not for diagnostic use",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        omit_empty_frames=True,
        **arguments,
    )
