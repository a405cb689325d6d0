"""Demonstration studies, and their derived identifiers."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import UID

Label = Literal["normal", "abnormal"]

_NAMESPACE = uuid.UUID("6d656469-636c-5970-8d64-69636f6d2e64")


@dataclass(frozen=True, slots=True)
class DemoStudy:
    """Study of the department.

    Attributes:
        name: name in the table and the picture; never a patient's name.
        study_instance_uid: Study Instance UID.
        label: truth about the study.
        paths: Its DICOM files, in slice order where there is one.
        truth: Per SOP Instance UID the file of the lesion's mask, or None where the image is known
            to show no lesion. An image that is not in here has no truth at pixel level.
    """

    name: str
    study_instance_uid: str
    label: Label
    paths: tuple[Path, ...]
    truth: Mapping[str, Path | None] = field(default_factory=dict)

    def truth_mask(self, sop_instance_uid: str) -> NDArray[np.bool_] | None:
        """Return the lesion's mask on one image.

        Returns:
            (rows, columns) bool of the source grid; None where the image shows no lesion or where
            nothing is known at pixel level.
        """
        path = self.truth.get(sop_instance_uid)
        if path is None:
            return None
        with np.load(path) as file:
            mask: NDArray[np.bool_] = file["mask"].astype(np.bool_)
        return mask

    def truth_area(self, sop_instance_uid: str) -> int:
        """Return the number of pixels of one image that show the lesion; 0 if unknown."""
        mask = self.truth_mask(sop_instance_uid)
        return 0 if mask is None else int(mask.sum())


@dataclass(frozen=True, slots=True)
class Department:
    """Studies that the demonstration works on.

    Attributes:
        task: name of the task that reads them.
        modality: Modality that the task reads.
        studies: normal ones first.
    """

    task: str
    modality: str
    studies: tuple[DemoStudy, ...]

    def of(self, label: Label) -> tuple[DemoStudy, ...]:
        """Return the studies of one kind, in order."""
        return tuple(study for study in self.studies if study.label == label)


def derived_uid(*parts: str | int) -> UID:
    """Return the UID that belongs to a name: the same parts, the same UID (PS3.5 B.2)."""
    name = uuid.uuid5(_NAMESPACE, "\x1f".join(str(part) for part in parts))
    return UID(f"2.25.{name.int}")
