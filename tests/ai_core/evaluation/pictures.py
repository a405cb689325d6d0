"""Small pictures for the evaluation's tests: a smooth body, and a bright blob where abnormal."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from ai_core import DEFAULT, Preset

ROWS, COLUMNS = 48, 64

QUICK: Preset = replace(
    DEFAULT,
    name="quick",
    training=replace(DEFAULT.training, pool_images=4, updates=2, batch=4),
)
"""The default preset, over in a second."""


def body(number: int) -> np.ndarray:
    row, column = np.mgrid[0:ROWS, 0:COLUMNS]
    draws = np.random.default_rng(number)
    centre = draws.uniform(-3, 3, 2)
    distance = ((row - 24 - centre[0]) / 20) ** 2 + ((column - 32 - centre[1]) / 26) ** 2
    noise = draws.normal(8, 3, (ROWS, COLUMNS))
    picture: np.ndarray = np.clip(110 * (distance < 1) + noise, 0, 255)
    return picture


def blob(number: int) -> np.ndarray:
    row, column = np.mgrid[0:ROWS, 0:COLUMNS]
    draws = np.random.default_rng(1000 + number)
    top, left = draws.uniform(16, 32), draws.uniform(20, 44)
    inside: np.ndarray = (row - top) ** 2 + (column - left) ** 2 < 36
    return inside


def save(path: Path, values: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values.astype(np.uint8)).save(path)
    return path


def normal_picture(path: Path, number: int) -> Path:
    return save(path, body(number))


def abnormal_picture(path: Path, number: int, *, mask: bool = True) -> Path:
    lesion = blob(number)
    if mask:
        save(path.with_name(f"{path.stem}_mask.png"), lesion * 255)
    return save(path, np.where(lesion, 245, body(number)))


def make_folder(
    root: Path, *, normals: int = 10, abnormals: int = 4, masks: bool = True, first: int = 0
) -> Path:
    """A data set as a user would lay it out."""
    for number in range(first, first + normals):
        normal_picture(root / "normal" / f"n{number:02d}.png", number)
    for number in range(first + 100, first + 100 + abnormals):
        abnormal_picture(root / "abnormal" / f"a{number}.png", number, mask=masks)
    return root
