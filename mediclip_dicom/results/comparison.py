"""Comparison of a finding with the normal patch of the support set that is nearest to its peak."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

RGB = npt.NDArray[np.uint8]

PatchPlace = tuple[int, int]
"""Row and column in a grid of patches, from 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NormalPatch:
    """Normal patch nearest to the peak of a finding on its key image.

    The UIDs are those of another patient: they are for the node's own lists, never for an object
    that goes to the PACS.

    Attributes:
        finding: number of the finding.
        number: place of its study among the normal studies of the task version, from 1.
        study: Study Instance UID, or the digest of a picture file.
        image: SOP Instance UID, or the digest again.
        frame: frame of the image, from 1.
        index: index of the image in the support set, from 0.
        grid: patches along a side of the detector's input.
        peak: patch of the finding's peak in the input of the key image.
        place: the normal patch in its own image.
        distance: between the two in the features of the patch bank: 0 for equal ones; 2, were they
            compared by tokens alone, for opposite ones.
        picture: the support image, uint8, shape (224, 224, 3); None where it was not kept.
    """

    finding: int
    number: int
    study: str
    image: str
    frame: int
    index: int
    grid: int
    peak: PatchPlace
    place: PatchPlace
    distance: float
    picture: RGB | None = None


def patch_box(place: PatchPlace, *, grid: int, side: int) -> tuple[int, int, int, int]:
    """Return the pixels of a patch: first row, first column, last row, last column, from 0."""
    step = side / grid
    top, left = (round(index * step) for index in place)
    bottom, right = (round((index + 1) * step) - 1 for index in place)
    return top, left, bottom, right
