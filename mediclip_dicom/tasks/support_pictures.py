"""Pictures of support images: the pixels that a task version was fitted on, kept with it."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image
from sqlalchemy import select
from sqlalchemy.orm import Session, undefer

from mediclip_dicom.database import SupportItem

RGB = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class SupportPicture:
    """Support image of a task version.

    Attributes:
        study: Study Instance UID, or the digest of a picture file.
        image: SOP Instance UID, or the digest again.
        frame: frame of the image, from 1.
        picture: the detector's input, uint8, shape (224, 224, 3); None in a version of a release
            that kept no pictures.
    """

    study: str
    image: str
    frame: int
    picture: RGB | None


def encode_picture(pixels: npt.NDArray[np.float32]) -> bytes:
    """Encode a detector input as a PNG file without metadata; grey where its channels are equal.

    Args:
        pixels: (3, 224, 224) float32 in [0, 1].
    """
    levels = np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
    grey = bool((levels[0] == levels[1]).all() and (levels[0] == levels[2]).all())
    file = io.BytesIO()
    Image.fromarray(levels[0] if grey else np.moveaxis(levels, 0, -1)).save(file, format="PNG")
    return file.getvalue()


def read_support_pictures(
    session: Session, version_id: int, indices: Iterable[int]
) -> dict[int, SupportPicture]:
    """Read support images of a task version by their index in the fit, from 0.

    Args:
        session: of the database.
        version_id: key of the task version.
        indices: which of them; one that the version has not is left out.
    """
    ids = session.scalars(
        select(SupportItem.id)
        .where(SupportItem.task_version_id == version_id)
        .order_by(SupportItem.id)
    ).all()
    wanted = {index: ids[index] for index in indices if 0 <= index < len(ids)}
    rows = {
        row.id: row
        for row in session.scalars(
            select(SupportItem)
            .where(SupportItem.id.in_(wanted.values()))
            .options(undefer(SupportItem.picture))
        )
    }
    return {index: _support_picture(rows[key]) for index, key in wanted.items()}


def _support_picture(row: SupportItem) -> SupportPicture:
    picture = None
    if row.picture is not None:
        with Image.open(io.BytesIO(row.picture)) as image:
            picture = np.asarray(image.convert("RGB"))
    return SupportPicture(row.study, row.image, row.frame, picture)
