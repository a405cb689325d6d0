"""Display pipeline of a grey image: modality LUT, VOI LUT or window, polarity.

The order is that of PS3.3 C.11 and PS3.4 N.2: modality LUT, VOI LUT, then the Presentation LUT
Shape, or without one the inversion of MONOCHROME1. Pixel padding takes no part in it and is drawn
black, whatever the polarity. Attributes that contradict each other are an error and never a dark
picture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_windowing

from ai_core.images import between_percentiles
from mediclip_dicom.imaging.lookup import read_palette, read_table
from mediclip_dicom.imaging.pixel_format import PixelFormat, pixel_format
from mediclip_dicom.imaging.planes import first_item, functional_groups

Image = npt.NDArray[np.float32]

# X-Ray Angiographic, Radiofluoroscopic and (retired) biplane images: their modality LUT leads back
# to X-ray intensities, for subtraction and not for display (PS3.3 C.8.7.1.1.2).
_XRAY_INTENSITY = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.12.1",
        "1.2.840.10008.5.1.4.1.1.12.2",
        "1.2.840.10008.5.1.4.1.1.12.3",
    }
)
# Digital X-ray, mammography and intra-oral images have no modality LUT for display (PS3.3
# C.8.11.3); the table that some carry with a logarithmic relationship is of the same kind.
_DIGITAL_XRAY = "1.2.840.10008.5.1.4.1.1.1."


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


@dataclass(frozen=True, slots=True)
class _Modality:
    """Values after the modality transformation, and the lowest and highest that they can be."""

    values: npt.NDArray[Any]
    lowest: float
    highest: float


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
        ValueError: the attributes contradict the pixels, or each other.
    """
    form = pixel_format(dataset)
    if stored.ndim != (2 if form.samples == 1 else 3) or stored.shape[2:] not in ((), (3,)):
        raise ValueError(
            f"contradictory header: {form.photometric} and pixels of the shape {stored.shape}"
        )
    if stored.ndim == 3:
        return np.clip(stored.astype(np.float32) / form.stored_range[1], 0, 1).astype(np.float32)
    if form.photometric == "PALETTE COLOR":
        return _coloured(stored, dataset, form)
    attributes = _frame_attributes(dataset, frame_index)
    grey = _grey(stored, attributes, form, window=window, big_endian=_is_big_endian(dataset))
    rgb = np.repeat(grey[:, :, np.newaxis], 3, axis=2)
    if str(dataset.get("PixelPresentation") or "") in ("COLOR", "MIXED"):
        _add_supplemental_colours(rgb, stored, dataset, form)
    return rgb


def _add_supplemental_colours(
    rgb: Image, stored: npt.NDArray[Any], dataset: Dataset, form: PixelFormat
) -> None:
    """Colour the stored values from the first mapped value on (PS3.3 C.7.6.19)."""
    if "RedPaletteColorLookupTableDescriptor" not in dataset:
        return
    lowest, highest = form.stored_range
    palettes = read_palette(
        dataset, lowest=lowest, highest=highest, big_endian=_is_big_endian(dataset)
    )
    coloured = stored >= palettes[0].first
    for channel, palette in enumerate(palettes):
        rgb[coloured, channel] = palette.look_up(stored[coloured]) / palette.largest


def _is_big_endian(dataset: Dataset) -> bool:
    return dataset.original_encoding[1] is False


def _coloured(stored: npt.NDArray[Any], dataset: Dataset, form: PixelFormat) -> Image:
    lowest, highest = form.stored_range
    palettes = read_palette(
        dataset, lowest=lowest, highest=highest, big_endian=_is_big_endian(dataset)
    )
    channels = [palette.look_up(stored) / palette.largest for palette in palettes]
    return np.stack(channels, axis=2).astype(np.float32)


def _grey(
    stored: npt.NDArray[Any],
    attributes: Dataset,
    form: PixelFormat,
    *,
    window: Window | None,
    big_endian: bool,
) -> Image:
    padding = _padding_mask(stored, attributes, form)
    modality = _modality_values(stored, attributes, form, big_endian=big_endian)
    if window is not None:
        shown = _windowed(modality.values, window.center, window.width, function="LINEAR")
    else:
        shown = _voi(modality, attributes, form, padding, big_endian=big_endian)
    if _is_inverted(attributes, form):
        shown = 1 - shown
    if padding is not None:
        shown[padding] = 0
    return np.ascontiguousarray(shown, dtype=np.float32)


def _is_inverted(attributes: Dataset, form: PixelFormat) -> bool:
    """Whether low values are bright; Presentation LUT Shape goes first (PS3.3 C.11.6)."""
    shape = str(attributes.get("PresentationLUTShape") or "").strip().upper()
    if shape in ("IDENTITY", "INVERSE"):
        return shape == "INVERSE"
    return form.photometric == "MONOCHROME1"


def _frame_attributes(dataset: Dataset, frame_index: int) -> Dataset:
    """Collect the attributes of one frame; functional groups override the root."""
    attributes = Dataset()
    for keyword in (
        "SOPClassUID",
        "PixelIntensityRelationship",
        "PresentationLUTShape",
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


def _padding_mask(
    stored: npt.NDArray[Any], attributes: Dataset, form: PixelFormat
) -> npt.NDArray[np.bool_] | None:
    """Mask pixel padding (PS3.3 C.7.5.1.1.2); `None` where there is none."""
    for prefix in ("", "Float", "DoubleFloat"):
        value = attributes.get(f"{prefix}PixelPaddingValue")
        if value is None or value == "":
            continue
        limit = attributes.get(f"{prefix}PixelPaddingRangeLimit")
        limit = value if limit is None or limit == "" else limit
        bounds = [_as_stored(bound, stored, form) for bound in (value, limit)]
        mask = (stored >= min(bounds)) & (stored <= max(bounds))
        return mask if mask.any() else None
    return None


def _as_stored(value: Any, stored: npt.NDArray[Any], form: PixelFormat) -> Any:
    """Convert a padding value to the pixels' type; writers mix up US and SS."""
    if stored.dtype.kind == "f":
        return stored.dtype.type(value)
    number = int(value)
    if form.signed and form.stored_range[1] < number < 2**form.bits_stored:
        number -= (
            2**form.bits_stored
        )  # written in the stored bits, without an extension of the sign
    return np.asarray(number, dtype=np.int64).astype(stored.dtype)[()]


def _modality_values(
    stored: npt.NDArray[Any], attributes: Dataset, form: PixelFormat, *, big_endian: bool
) -> _Modality:
    lowest, highest = form.stored_range
    if _leads_back_to_intensities(attributes):
        return _Modality(stored, lowest, highest)
    if (item := first_item(attributes, "ModalityLUTSequence")) is not None:
        table = read_table(item, lowest=lowest, highest=highest, big_endian=big_endian)
        entries = table.entries
        return _Modality(table.look_up(stored), int(entries.min()), int(entries.max()))
    slope, intercept = _first(attributes, "RescaleSlope"), _first(attributes, "RescaleIntercept")
    if slope is None or intercept is None:
        return _Modality(stored, lowest, highest)
    if not (math.isfinite(slope) and math.isfinite(intercept)) or (slope == 0 and intercept != 0):
        raise ValueError(
            f"contradictory header: Rescale Slope {slope:g} and Rescale Intercept {intercept:g} "
            "give no values to show"
        )
    if slope == 0:  # written for "no rescale"
        return _Modality(stored, lowest, highest)
    ends = (lowest * slope + intercept, highest * slope + intercept)
    return _Modality(stored.astype(np.float64) * slope + intercept, min(ends), max(ends))


def _leads_back_to_intensities(attributes: Dataset) -> bool:
    sop_class = str(attributes.get("SOPClassUID") or "")
    if sop_class in _XRAY_INTENSITY:
        return True
    relationship = str(attributes.get("PixelIntensityRelationship") or "").strip().upper()
    return (
        sop_class.startswith(_DIGITAL_XRAY)
        and relationship == "LOG"
        and "ModalityLUTSequence" in attributes
    )


def _voi(
    modality: _Modality,
    attributes: Dataset,
    form: PixelFormat,
    padding: npt.NDArray[np.bool_] | None,
    *,
    big_endian: bool,
) -> npt.NDArray[Any]:
    """Apply the first VOI LUT, else the first usable window, else a fallback; all to [0, 1]."""
    if (item := first_item(attributes, "VOILUTSequence")) is not None:
        table = read_table(
            item, lowest=modality.lowest, highest=modality.highest, big_endian=big_endian
        )
        looked_up = table.look_up(np.nan_to_num(modality.values, nan=0.0))
        return np.clip(looked_up.astype(np.float32) / table.largest, 0, 1)
    center, width = _first(attributes, "WindowCenter"), _first(attributes, "WindowWidth")
    function = str(attributes.get("VOILUTFunction") or "LINEAR").upper()
    if center is not None and width is not None and width > 0:
        if function not in ("LINEAR_EXACT", "SIGMOID"):
            # A LINEAR window narrower than 1 is against the standard, yet written by devices
            # whose values are small fractions: LINEAR_EXACT is what they mean.
            function = "LINEAR" if width >= 1 else "LINEAR_EXACT"
        return _windowed(modality.values, center, width, function=function)
    return _without_window(modality, form, padding)


def _without_window(
    modality: _Modality, form: PixelFormat, padding: npt.NDArray[np.bool_] | None
) -> npt.NDArray[Any]:
    """Show up to 8 bits as they are, deeper pixels between percentiles."""
    if not form.floating and form.bits_stored <= 8 and modality.highest > modality.lowest:
        span = modality.highest - modality.lowest
        shares = (modality.values.astype(np.float32) - modality.lowest) / span
        return cast(npt.NDArray[Any], np.clip(shares, 0, 1))
    return between_percentiles(modality.values, padding)


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


def _first(attributes: Dataset, keyword: str) -> float | None:
    value = attributes.get(keyword)
    if value is None or value == "":
        return None
    return float(value if isinstance(value, str | int | float) else value[0])
