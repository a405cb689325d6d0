"""Display pipeline of a grey image: modality LUT, VOI LUT or window, polarity.

The order is that of PS3.3 C.11 and PS3.4 N.2: modality LUT, VOI LUT, then the inversion of
MONOCHROME1. Pixel padding takes no part in it and is drawn black, whatever the polarity.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut, apply_rescale, apply_windowing

from ai_core.images import between_percentiles
from mediclip_dicom.imaging.planes import first_item, functional_groups

Image = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Window:
    """Linear window in modality units, such as Hounsfield units (PS3.3 C.11.2.1.2).

    Attributes:
        center: window centre.
        width: window width, at least 1.
        name: name of a window in Hounsfield units; empty for one in numbers.
    """

    center: float
    width: float
    name: str = ""

    def __post_init__(self) -> None:
        if not self.width >= 1:
            raise ValueError(f"a window's width must be at least 1, not {self.width}")

    def __str__(self) -> str:
        numbers = f"{self.center:g},{self.width:g}"
        return f"{self.name} ({numbers})" if self.name else numbers


def to_rgb(
    stored: npt.NDArray[Any], dataset: Dataset, *, frame_index: int, window: Window | None
) -> Image:
    """Convert one decoded frame to display RGB.

    Args:
        stored: (rows, columns) or (rows, columns, 3); YBR already converted to RGB.
        dataset: the instance's attributes, without pixel data.
        frame_index: 0-based; selects the per-frame functional groups.
        window: overrides the header's VOI LUT or window; grey images only.

    Returns:
        (rows, columns, 3) float32 in [0, 1].

    Raises:
        ValueError: the attributes contradict the pixels.
    """
    if stored.ndim == 3:
        return _scaled_to_unit(stored, dataset)
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        coloured = apply_color_lut(stored, dataset)
        return np.asarray(coloured / np.iinfo(coloured.dtype).max, dtype=np.float32)
    grey = _grey(stored, _frame_attributes(dataset, frame_index), window=window)
    return np.repeat(grey[:, :, np.newaxis], 3, axis=2)


def _scaled_to_unit(stored: npt.NDArray[Any], dataset: Dataset) -> Image:
    largest = 2 ** int(dataset.get("BitsStored", stored.dtype.itemsize * 8)) - 1
    scaled: Image = np.clip(stored.astype(np.float32) / largest, 0, 1)
    return scaled


def _grey(stored: npt.NDArray[Any], attributes: Dataset, *, window: Window | None) -> Image:
    padding = _padding_mask(stored, attributes)
    modality = _modality_values(stored, attributes)
    if window is not None:
        shown = _windowed(modality, window.center, window.width, function="LINEAR")
    else:
        shown = _voi(modality, attributes, padding)
    if attributes.PhotometricInterpretation == "MONOCHROME1":
        shown = 1 - shown
    if padding is not None:
        shown[padding] = 0
    return np.ascontiguousarray(shown, dtype=np.float32)


def _frame_attributes(dataset: Dataset, frame_index: int) -> Dataset:
    """Collect the attributes of one frame; functional groups override the root."""
    attributes = Dataset()
    for keyword in (
        "PhotometricInterpretation",
        "BitsStored",
        "PixelRepresentation",
        "PixelPaddingValue",
        "PixelPaddingRangeLimit",
        "FloatPixelPaddingValue",
        "FloatPixelPaddingRangeLimit",
        "DoubleFloatPixelPaddingValue",
        "DoubleFloatPixelPaddingRangeLimit",
        "ModalityLUTSequence",
        "RescaleSlope",
        "RescaleIntercept",
        "VOILUTSequence",
        "WindowCenter",
        "WindowWidth",
        "VOILUTFunction",
    ):
        if keyword in dataset:
            attributes[keyword] = dataset[keyword]
    for groups in reversed(functional_groups(dataset, frame_index)):
        for sequence in ("PixelValueTransformationSequence", "FrameVOILUTSequence"):
            if (item := first_item(groups, sequence)) is not None:
                attributes.update(item)
    return attributes


def _padding_mask(stored: npt.NDArray[Any], attributes: Dataset) -> npt.NDArray[np.bool_] | None:
    """Mask pixel padding (PS3.3 C.7.5.1.1.2); `None` where there is none."""
    for prefix in ("", "Float", "DoubleFloat"):
        value = attributes.get(f"{prefix}PixelPaddingValue")
        if value is None or value == "":
            continue
        limit = attributes.get(f"{prefix}PixelPaddingRangeLimit")
        bounds = [_as_stored(bound, stored) for bound in (value, value if limit is None else limit)]
        mask = (stored >= min(bounds)) & (stored <= max(bounds))
        return mask if mask.any() else None
    return None


def _as_stored(value: Any, stored: npt.NDArray[Any]) -> Any:
    """Convert a padding value to the pixels' type; writers mix up US and SS."""
    if stored.dtype.kind == "f":
        return stored.dtype.type(value)
    return np.asarray(int(value), dtype=np.int64).astype(stored.dtype)[()]


def _modality_values(stored: npt.NDArray[Any], attributes: Dataset) -> npt.NDArray[Any]:
    if (item := first_item(attributes, "ModalityLUTSequence")) is not None:
        return _looked_up(stored, item)[0]
    if attributes.get("RescaleSlope") in (None, "") or attributes.get("RescaleIntercept") in (
        None,
        "",
    ):
        return stored
    return apply_rescale(stored, attributes)


def _voi(
    modality: npt.NDArray[Any], attributes: Dataset, padding: npt.NDArray[np.bool_] | None
) -> npt.NDArray[Any]:
    """Apply the first VOI LUT, else the first usable window, else a fallback; all to [0, 1]."""
    if (item := first_item(attributes, "VOILUTSequence")) is not None:
        values, largest = _looked_up(modality, item)
        return np.clip(values.astype(np.float32) / largest, 0, 1)
    center, width = _first(attributes, "WindowCenter"), _first(attributes, "WindowWidth")
    function = str(attributes.get("VOILUTFunction") or "LINEAR").upper()
    if center is not None and width is not None and width > 0:
        if function not in ("LINEAR_EXACT", "SIGMOID"):
            # A LINEAR window narrower than 1 is against the standard, yet written by devices
            # whose values are small fractions: LINEAR_EXACT is what they mean.
            function = "LINEAR" if width >= 1 else "LINEAR_EXACT"
        return _windowed(modality, center, width, function=function)
    return _without_window(modality, attributes, padding)


def _without_window(
    modality: npt.NDArray[Any], attributes: Dataset, padding: npt.NDArray[np.bool_] | None
) -> npt.NDArray[Any]:
    """Show 8 bits as they are, deeper pixels between percentiles."""
    if modality.dtype == np.uint8 and int(attributes.get("BitsStored", 8)) == 8:
        return modality.astype(np.float32) / 255
    return between_percentiles(modality, padding)


def _windowed(
    values: npt.NDArray[Any], center: float, width: float, *, function: str
) -> npt.NDArray[Any]:
    settings = Dataset()
    settings.WindowCenter = center
    settings.WindowWidth = width
    settings.VOILUTFunction = function
    # pydicom scales to the range of the stored bits; with one unsigned bit that is [0, 1].
    settings.BitsStored = 1
    settings.PixelRepresentation = 0
    settings.PhotometricInterpretation = "MONOCHROME2"
    shown = apply_windowing(np.nan_to_num(values, nan=0.0), settings)
    return cast(npt.NDArray[Any], np.clip(shown, 0, 1))


def _looked_up(values: npt.NDArray[Any], item: Dataset) -> tuple[npt.NDArray[Any], int]:
    """Apply a LUT item (PS3.3 C.11.1.1, C.11.2.1.1); return values and largest possible one.

    pydicom 3.0's own `apply_voi` counts in the type of the table's entries and so wraps an
    8-bit table of more than 256 entries; hence the index is taken here, in 64 bits.
    """
    entries, first_mapped, bits = (int(number) for number in item.LUTDescriptor)
    count = entries or 2**16
    table = _lut_entries(item, count)
    index = np.rint(values).astype(np.int64) - first_mapped
    return table[np.clip(index, 0, count - 1)], 2**bits - 1


def _lut_entries(item: Dataset, count: int) -> npt.NDArray[Any]:
    data = item.LUTData
    if not isinstance(data, bytes):
        table = np.asarray(data, dtype=np.int64)
    elif len(data) >= 2 * count:
        order = "<" if item.original_encoding[1] in (True, None) else ">"
        table = np.frombuffer(data, dtype=f"{order}u2").astype(np.int64)
    else:
        table = np.frombuffer(data, dtype=np.uint8).astype(np.int64)
    if table.size < count:
        raise ValueError(f"a LUT announces {count} entries and holds {table.size}")
    return table[:count]


def _first(attributes: Dataset, keyword: str) -> float | None:
    value = attributes.get(keyword)
    if value is None or value == "":
        return None
    return float(value if isinstance(value, str | int | float) else value[0])
