"""Patients of a study in words: who is taken as one person, and why results are withheld."""

from __future__ import annotations

from collections.abc import Sequence

from mediclip_dicom.imaging import Change


def describe_changes(changes: Sequence[Change]) -> str:
    """Write the sentence on attributes that differ between images of one patient; no values."""
    *first, last = (change.value for change in changes)
    names = f"{', '.join(first)} and {last}" if first else last
    verb = "differ" if first else "differs"
    return (
        f"Patient: {names} {verb} between images of this study. They are taken as images of one "
        "patient, as after a merge or a correction; the results bear the attributes of the image "
        "that they name first."
    )


def describe_patients(count: int) -> str:
    """Write the reason why a study of several patients is not analysed."""
    return (
        f"the study holds images of {count} patients under one Study Instance UID, whose results "
        "must not be mixed: have the images assigned to studies of their own and send them again"
    )


OTHER_PATIENT = "of another patient than this report"
"""Reason for the images that a report of several patients does not name."""
