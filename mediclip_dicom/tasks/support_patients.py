"""Patients of a support study: one that holds two is no normal study of either."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from mediclip_dicom.imaging import (
    PatientIdentity,
    SkippedFile,
    SourceImage,
    compare_patients,
    patient_of,
    read_attributes,
)


def refuse_mixed_patients(
    images: Sequence[SourceImage],
) -> tuple[tuple[SourceImage, ...], list[SkippedFile]]:
    """Leave out a study with images of several patients under one Study Instance UID.

    Calibration leaves one patient out at a time, and such a study would join two of them. An ID or
    a name that changes alone is that of one patient.

    Args:
        images: of one study.

    Returns:
        The images, or none of them, and those left out.

    Raises:
        OSError: a file can't be read.
    """
    identities: dict[Hashable, PatientIdentity] = {
        image.path: patient_of(read_attributes(image.path)[0]) for image in images
    }
    count = compare_patients(identities).count
    if count == 1:
        return tuple(images), []
    reason = (
        f"images of {count} patients under one Study Instance UID: assign them to studies of "
        "their own"
    )
    return (), [SkippedFile(image.path, reason) for image in images]
