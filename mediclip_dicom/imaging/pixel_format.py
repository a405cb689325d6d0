"""Image Pixel attributes (PS3.3 C.7.6.3): form of the stored values, without contradictions."""

from __future__ import annotations

from dataclasses import dataclass

from pydicom.dataset import Dataset

GREY = frozenset({"MONOCHROME1", "MONOCHROME2"})
_ONE_SAMPLE = GREY | {"PALETTE COLOR"}
_THREE_SAMPLES = frozenset({"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelFormat:
    """Form of an image's stored values.

    Attributes:
        photometric: Photometric Interpretation (0028,0004), in capitals.
        samples: 1, or 3 for colour.
        bits_allocated: bits of a pixel cell; 32 or 64 for float pixels.
        bits_stored: bits of a value.
        high_bit: bit of the cell in which a value's highest bit is stored, from 0.
        signed: Pixel Representation is 1, or the pixels are float.
        floating: Float or Double Float Pixel Data.
    """

    photometric: str
    samples: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    floating: bool

    @property
    def shift(self) -> int:
        """Unused bits of the cell below a value: 0 in all that follows the standard of today."""
        return self.high_bit + 1 - self.bits_stored

    @property
    def stored_range(self) -> tuple[int, int]:
        """Lowest and highest value that the stored bits can hold."""
        if self.signed:
            return -(2 ** (self.bits_stored - 1)), 2 ** (self.bits_stored - 1) - 1
        return 0, 2**self.bits_stored - 1


def pixel_format(dataset: Dataset) -> PixelFormat:
    """Read the form of the stored values.

    Args:
        dataset: the instance's attributes, with or without pixel data.

    Raises:
        ValueError: attributes that contradict each other, or a photometric interpretation that the
            standard has not, or has retired.
    """
    photometric = str(dataset.get("PhotometricInterpretation") or "").strip().upper()
    samples = int(dataset.get("SamplesPerPixel") or 1)
    expected = 1 if photometric in _ONE_SAMPLE else 3 if photometric in _THREE_SAMPLES else None
    if expected is None:
        raise ValueError(
            f"Photometric Interpretation {photometric!r} is retired or none of the standard's"
        )
    if samples != expected:
        raise ValueError(
            f"contradictory header: Photometric Interpretation {photometric} has {expected} "
            f"samples per pixel, Samples per Pixel says {samples}"
        )
    allocated = int(dataset.get("BitsAllocated") or 0)
    if not dataset.get("BitsStored"):
        # Float and Double Float Pixel Data have neither Bits Stored nor High Bit.
        return PixelFormat(
            photometric=photometric,
            samples=samples,
            bits_allocated=allocated,
            bits_stored=allocated,
            high_bit=allocated - 1,
            signed=True,
            floating=True,
        )
    stored = int(dataset.BitsStored)
    high = dataset.get("HighBit")
    high_bit = stored - 1 if high is None or high == "" else int(high)
    if not stored - 1 <= high_bit < allocated:
        raise ValueError(
            f"contradictory header: {allocated} Bits Allocated, {stored} Bits Stored, High Bit "
            f"{high_bit}"
        )
    signed = int(dataset.get("PixelRepresentation") or 0) == 1
    if signed and photometric not in GREY | {"PALETTE COLOR"}:
        raise ValueError("contradictory header: colour samples that are signed")
    return PixelFormat(
        photometric=photometric,
        samples=samples,
        bits_allocated=allocated,
        bits_stored=stored,
        high_bit=high_bit,
        signed=signed,
        floating=False,
    )
