"""Windows by name, in Hounsfield units, and images that have such units."""

from __future__ import annotations

from pathlib import Path

from pydicom.dataset import Dataset

from mediclip_dicom.imaging.display import Window
from mediclip_dicom.imaging.header import read_attributes
from mediclip_dicom.imaging.planes import first_item, functional_groups

# Usual values of radiology departments; those of vendors differ by tens of units.
_NAMED = {
    "lung": (-600.0, 1500.0),
    "mediastinum": (50.0, 350.0),
    "bone": (400.0, 1800.0),
    "brain": (40.0, 80.0),
    "subdural": (75.0, 215.0),
    "liver": (30.0, 150.0),
    "abdomen": (50.0, 400.0),
}

WINDOW_NAMES = tuple(_NAMED)
"""Names that `parse_window` knows."""


def parse_window(text: str) -> Window:
    """Parse a window: a name, or centre and width in the values of the modality, as in 40,80.

    Raises:
        ValueError: no such name, or no two numbers, or a width below 1.
    """
    name = text.strip().lower()
    if name in _NAMED:
        center, width = _NAMED[name]
        return Window(center=center, width=width, name=name)
    parts = name.split(",")
    try:
        center, width = (float(part) for part in parts)
    except ValueError as error:
        raise ValueError(
            f"{text!r} is no window: take a name ({', '.join(WINDOW_NAMES)}), or centre and width "
            "as in 40,80"
        ) from error
    return Window(center=center, width=width)


def missing_hounsfield(path: Path) -> str | None:
    """Return the reason why an image's values are no Hounsfield units; None where they are.

    They are where a CT image is grey and has a rescale whose type is HU or not said (PS3.3
    C.8.2.1, C.11.1); an MR, ultrasound or secondary capture never has any.

    Args:
        path: a DICOM Part 10 file.

    Raises:
        UnsupportedImageError: the header can't be read.
    """
    dataset, _ = read_attributes(path)
    modality = str(dataset.get("Modality") or "no modality")
    if modality != "CT":
        return f"a {modality} image has no Hounsfield units"
    if int(dataset.get("SamplesPerPixel") or 1) != 1:
        return "a colour image has no Hounsfield units"
    rescale = _rescale(dataset)
    if rescale is None:
        return "the image has no Rescale Slope and Intercept (0028,1053; 0028,1052)"
    kind = str(rescale.get("RescaleType") or "HU").strip().upper()
    return None if kind == "HU" else f"Rescale Type (0028,1054) is {kind}, not HU"


def _rescale(dataset: Dataset) -> Dataset | None:
    """Return the item that holds the rescale: the root, or the first frame's functional group."""
    groups = functional_groups(dataset, 0)
    items = [first_item(group, "PixelValueTransformationSequence") for group in groups]
    for item in (*items, dataset):
        if item is not None and None not in (
            item.get("RescaleSlope"),
            item.get("RescaleIntercept"),
        ):
            return item
    return None
