"""Multi-frame results: attributes that Segmentations and Parametric Maps share."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Protocol

from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian

from mediclip_dicom.results.device import Device
from mediclip_dicom.results.identity import (
    SERIES_NUMBERS,
    derive_uid,
    equipment_arguments,
    series_description,
    stamp,
    to_ascii,
)
from mediclip_dicom.results.planes import SourcePlanes
from mediclip_dicom.results.reading import ImageReading, Reading
from mediclip_dicom.results.source_text import restore_text
from mediclip_dicom.results.streaming import FrameSource
from mediclip_dicom.settings import ResultKind


class Save(Protocol):
    """Writes an object to disk; its pixels may be dropped afterwards."""

    def __call__(
        self, kind: ResultKind, dataset: Dataset, frames: FrameSource | None = None
    ) -> None:
        """Write the object, with frames that are made on the way where they are given."""


# Above this size objects are written deflated: 1-bit pixel data has no other codec. Peers without
# deflate get them uncompressed.
DEFLATE_ABOVE_BYTES = 2**20

# Raised by highdicom at a geometry that it can't describe. The report then says so: a map in the
# wrong place would be worse than none.
GEOMETRY_ERRORS = (ValueError, TypeError, AttributeError, KeyError, IndexError, RuntimeError)


@dataclass(slots=True)
class ResultSeries:
    """Series of results of one kind, one for each source series, instances numbered from 1."""

    reading: Reading
    device: Device
    kind: ResultKind
    label: str
    _numbers: Counter[str] = field(default_factory=Counter)

    def arguments(self, image: ImageReading, *, key: str) -> dict[str, Any]:
        """Return the arguments that highdicom's multi-frame constructors share.

        Args:
            image: the first of the sources.
            key: names the object among those of its kind, the same at every repeat.
        """
        series_uid = image.header.series_instance_uid
        return {
            "series_instance_uid": derive_uid(self.reading, f"{self.kind} series", series_uid),
            "series_number": SERIES_NUMBERS[self.kind],
            "sop_instance_uid": derive_uid(self.reading, self.kind, key),
            "instance_number": self._numbers[series_uid] + 1,
            "series_description": series_description(self.reading, label=self.label),
            **equipment_arguments(self.device),
        }

    def finish(
        self,
        dataset: Dataset,
        planes: SourcePlanes,
        image: ImageReading,
        *,
        key: str,
        pixel_bytes: int,
    ) -> None:
        """Reference the real sources, and set the attributes that highdicom leaves out.

        Args:
            dataset: the object.
            planes: its sources.
            image: the first of them.
            key: as for `arguments`.
            pixel_bytes: length of its pixel data; a large one is deflated.
        """
        planes.name_sources(dataset)
        source = planes.datasets[0]
        stamp(dataset, self.reading.finished_at)
        # Required, though it may be empty (2, PS3.3 table 10-12); no person made this object.
        dataset.ContentCreatorName = ""
        organization = derive_uid(self.reading, f"{self.kind} dimensions", key)
        for sequence in ("DimensionIndexSequence", "DimensionOrganizationSequence"):
            for item in dataset.get(sequence) or ():
                item.DimensionOrganizationUID = organization
        if image.plane is None:
            # Required (2C) where no position and orientation say which way the rows run.
            dataset.PatientOrientation = source.get("PatientOrientation") or None
        if pixel_bytes > DEFLATE_ABOVE_BYTES:
            dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
        restore_text(source, dataset)
        self.count(image)

    def count(self, image: ImageReading) -> None:
        """Count an object that has been made from this source series."""
        self._numbers[image.header.series_instance_uid] += 1


def part_key(key: str, number: int) -> str:
    """Return the key of a stack's part, counted from 1; the first has the key of the stack."""
    return key if number == 1 else f"{key} part {number}"


def refusal(label: str, image: ImageReading, error: Exception, *, frames: int) -> str:
    """Write a sentence for the report on an object that could not be made; no patient data."""
    return (
        f"No {label} of series {image.header.series_instance_uid}, {frames} frames: "
        f"{to_ascii(str(error))}"
    )
