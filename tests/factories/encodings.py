"""One picture in many encodings: each must be displayed alike (PS3.3 C.7.6.3, C.11; PS3.5 8)."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels.processing import convert_color_space
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

Pixels = npt.NDArray[Any]

SIDE = 40
LE, BE, IMPLICIT = ExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

CT = "1.2.840.10008.5.1.4.1.1.2"
CR = "1.2.840.10008.5.1.4.1.1.1"
DX = "1.2.840.10008.5.1.4.1.1.1.1"
MG = "1.2.840.10008.5.1.4.1.1.1.2"
XA = "1.2.840.10008.5.1.4.1.1.12.1"
XRF = "1.2.840.10008.5.1.4.1.1.12.2"
XA_BIPLANE = "1.2.840.10008.5.1.4.1.1.12.3"
SC = "1.2.840.10008.5.1.4.1.1.7"


def picture() -> npt.NDArray[np.float64]:
    """Return the picture, (SIDE, SIDE) in [0, 1]: a ramp, a disc, black and white."""
    row, column = np.mgrid[0:SIDE, 0:SIDE] / (SIDE - 1)
    shown: npt.NDArray[np.float64] = (2 * row + column) / 3
    shown[np.hypot(row - 0.4, column - 0.6) < 0.15] = 0.8
    shown[:3, :3], shown[-3:, -3:] = 0, 1
    return shown


def colour_picture() -> npt.NDArray[np.uint8]:
    """Return a picture of (SIDE, SIDE, 3)."""
    grey = np.round(picture() * 255).astype(np.uint8)
    return np.stack([grey, np.roll(grey, 6, axis=1), 255 - grey], axis=-1)


@dataclass(frozen=True)
class Encoding:
    """Encoding of the picture.

    Attributes:
        name: how it is encoded.
        make: returns the data set.
        tolerance: in 255ths; half a step of the stored values, and of the VOI transformation.
        syntax: transfer syntax that it is written in.
        colour: it is the colour picture.
        dcmtk: options with which `dcm2pnm` shows it alike; None where DCMTK can't, or does not.
    """

    name: str
    make: Callable[[], Dataset]
    tolerance: float = 1.0
    syntax: UID = LE
    colour: bool = False
    dcmtk: tuple[str, ...] | None = ("--use-window", "1")


def write_encoding(encoding: Encoding, folder: Path) -> Path:
    """Write the picture in an encoding."""
    dataset = encoding.make()
    dataset.file_meta.TransferSyntaxUID = encoding.syntax
    path = folder / "picture.dcm"
    if encoding.syntax in (RLELossless, JPEG2000Lossless, JPEGLSLossless):
        dataset.file_meta.TransferSyntaxUID = LE
        dataset.compress(encoding.syntax, generate_instance_uid=False)
    dataset.save_as(path, enforce_file_format=True)
    return path


def grey(
    values: Pixels,
    *,
    stored: int,
    allocated: int = 16,
    sop_class: str = SC,
    window: tuple[float, float] | None = None,
    **attributes: Any,
) -> Dataset:
    """Make a grey image of stored values."""
    dataset = _image(sop_class)
    signed = values.dtype.kind == "i"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = allocated, stored, stored - 1
    dataset.PixelRepresentation = int(signed)
    dataset.PixelData = values.astype(f"<{'i' if signed else 'u'}{allocated // 8}").tobytes()
    dataset["PixelData"].VR = "OB" if allocated == 8 else "OW"
    if window is not None:
        dataset.WindowCenter, dataset.WindowWidth = window
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def swapped_words(dataset: Dataset, *, words: bool) -> Dataset:
    """Turn the bytes of the pixel data and of tables in OW, as big endian has them."""
    size = 2 if words else 1
    data = np.frombuffer(dataset.PixelData, dtype=f"<u{size}")
    if size == 1:
        data = data.view("<u2")
        dataset["PixelData"].VR = "OW"
    dataset.PixelData = data.byteswap().tobytes()
    return dataset


def table(data: bytes, descriptor: list[int], *, vr: str = "US", sign: str = "OW") -> Sequence:
    """Make the sequence of a modality or VOI LUT; `vr` is the descriptor's, `sign` the data's."""
    item = Dataset()
    item.add_new("LUTDescriptor", vr, descriptor)
    item.add_new("LUTData", sign, data)
    return Sequence([item])


def palette(
    entries: bytes,
    descriptor: list[int],
    *,
    values: Pixels | None = None,
    segmented: bool = False,
    vr: str = "US",
) -> Dataset:
    """Make a PALETTE COLOR image of 8 bits whose three palettes are the same."""
    stored = np.round(picture() * 255).astype(np.uint8) if values is None else values
    dataset = grey(stored, stored=8, allocated=8)
    dataset.PhotometricInterpretation = "PALETTE COLOR"
    for colour in ("Red", "Green", "Blue"):
        dataset.add_new(f"{colour}PaletteColorLookupTableDescriptor", vr, descriptor)
        prefix = "Segmented" if segmented else ""
        dataset.add_new(f"{prefix}{colour}PaletteColorLookupTableData", "OW", entries)
    return dataset


def big_endian_palette(entries: bytes, bits: int) -> Dataset:
    """Make a palette of 256 entries for the big endian syntax."""
    return swapped_words(palette(entries, [256, 0, bits]), words=False)


def colour(pixels: Pixels, photometric: str = "RGB", *, planar: int = 0) -> Dataset:
    """Make a colour image of 8 bits."""
    dataset = _image(SC)
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 3, photometric
    dataset.PlanarConfiguration = planar
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.PixelRepresentation = 0
    dataset.PixelData = (pixels.transpose(2, 0, 1) if planar else pixels).tobytes()
    dataset["PixelData"].VR = "OB"
    return dataset


def _image(sop_class: str) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.SOPClassUID = sop_class
    dataset.SOPInstanceUID = "2.25.1.3"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "2.25.1.1", "2.25.1.2"
    dataset.file_meta.MediaStorageSOPClassUID = UID(sop_class)
    dataset.file_meta.MediaStorageSOPInstanceUID = UID("2.25.1.3")
    dataset.Modality = "OT"
    dataset.Rows = dataset.Columns = SIDE
    return dataset


def unsigned(bits: int, *, shift: int = 0) -> Pixels:
    """Return the picture as unsigned values of so many bits."""
    values: Pixels = np.round(picture() * (2**bits - 1)).astype(np.uint16) << shift
    return values


def signed(bits: int) -> Pixels:
    """Return the picture as signed values of so many bits."""
    values: Pixels = (np.round(picture() * (2**bits - 1)) - 2 ** (bits - 1)).astype(np.int16)
    return values


def ramp(count: int, largest: float, dtype: str = "<u2") -> bytes:
    """Return a table from 0 to `largest`."""
    return np.round(np.arange(count) / (count - 1) * largest).astype(dtype).tobytes()


W12 = (2048.0, 4096.0)
HU = np.round(picture() * 2000).astype(np.uint16)  # -1024 to 976 Hounsfield units
INTENSITIES = (
    np.round((10 ** (np.arange(1024) / 1023 * 3) - 1) / 999 * 65535).astype("<u2").tobytes()
)
VOI = ("--use-voi-lut", "1")


def hounsfield_lut(first: int, vr: str, **attributes: Any) -> Dataset:
    """Make a CT whose VOI LUT begins at a negative value."""
    return grey(
        HU,
        stored=12,
        sop_class=CT,
        RescaleIntercept=-1024,
        RescaleSlope=1,
        VOILUTSequence=table(ramp(2001, 65535), [2001, first, 16], vr=vr),
        **attributes,
    )


def voi(largest: int, bits: int, *, count: int = 4096) -> Dataset:
    """Make a radiograph whose VOI LUT has values up to `largest` and says so many bits."""
    return grey(
        unsigned(12),
        stored=12,
        sop_class=CR,
        VOILUTSequence=table(ramp(count, largest), [count, 0, bits]),
    )


def intensities(sop_class: str, relationship: str) -> Dataset:
    """Make an X-ray image whose modality LUT leads back to intensities."""
    return grey(
        unsigned(10),
        stored=10,
        sop_class=sop_class,
        window=(512, 1024),
        PixelIntensityRelationship=relationship,
        ModalityLUTSequence=table(INTENSITIES, [1024, 0, 16]),
    )


def with_overlay_bits() -> Dataset:
    """Make an image with an overlay in the four bits above its 12."""
    bits = np.zeros((SIDE, SIDE), np.uint16)
    bits[5:9, :] = 0b1011
    return grey(unsigned(12) | bits << 12, stored=12, window=W12)


def polarity(photometric: str, shape: str | None, *, inverted: bool) -> Dataset:
    """Make an image with a Presentation LUT Shape."""
    values = 4095 - unsigned(12) if inverted else unsigned(12)
    dataset = grey(values, stored=12, window=W12, PhotometricInterpretation=photometric)
    if shape is not None:
        dataset.PresentationLUTShape = shape
    return dataset


def ybr_422() -> Dataset:
    """Make YBR_FULL_422, whose pairs of pixels share their chroma."""
    pairs = colour_picture()
    pairs[:, 1::2] = pairs[:, ::2]
    ybr = convert_color_space(pairs, "RGB", "YBR_FULL")
    quads = [ybr[:, ::2, 0], ybr[:, 1::2, 0], ybr[:, ::2, 1], ybr[:, ::2, 2]]
    dataset = colour(ybr, "YBR_FULL_422")
    dataset.PixelData = np.stack(quads, axis=-1).tobytes()
    return dataset


_SEGMENTS = (0, 1, 0, 1, 127, 127 * 257, 1, 128, 65535)
ENCODINGS = (
    Encoding("8 bits", lambda: grey(unsigned(8), stored=8, allocated=8), dcmtk=()),
    Encoding("8 bits in 16", lambda: grey(unsigned(8), stored=8), dcmtk=()),
    Encoding("7 bits in 8", lambda: grey(unsigned(7), stored=7, allocated=8), 2, dcmtk=()),
    Encoding("signed 8 bits", lambda: grey(signed(8), stored=8, allocated=8), dcmtk=()),
    Encoding(
        "8 bits, identity rescale",
        lambda: grey(unsigned(8), stored=8, allocated=8, RescaleSlope=1, RescaleIntercept=0),
        dcmtk=(),
    ),
    Encoding("12 bits", lambda: grey(unsigned(12), stored=12, window=W12)),
    Encoding("16 bits", lambda: grey(unsigned(16), stored=16, window=(32768, 65536))),
    Encoding("signed 12 bits", lambda: grey(signed(12), stored=12, window=(0, 4096))),
    Encoding(
        "signed 12 bits, sign not extended",
        lambda: grey(
            signed(12).astype(np.uint16) & 0xFFF, stored=12, window=(0, 4096), PixelRepresentation=1
        ),
    ),
    Encoding("implicit", lambda: grey(unsigned(12), stored=12, window=W12), syntax=IMPLICIT),
    Encoding(
        "deflated",
        lambda: grey(unsigned(12), stored=12, window=W12),
        syntax=DeflatedExplicitVRLittleEndian,
    ),
    Encoding(
        "big endian",
        lambda: swapped_words(grey(unsigned(12), stored=12, window=W12), words=True),
        syntax=BE,
    ),
    Encoding(
        "big endian, 8 bits in OW",
        lambda: swapped_words(grey(unsigned(8), stored=8, allocated=8), words=False),
        syntax=BE,
        dcmtk=(),
    ),
    Encoding("RLE", lambda: grey(unsigned(12), stored=12, window=W12), syntax=RLELossless),
    Encoding(
        "JPEG-LS",
        lambda: grey(unsigned(12), stored=12, window=W12),
        syntax=JPEGLSLossless,
        dcmtk=None,
    ),
    Encoding(
        "JPEG 2000",
        lambda: grey(unsigned(12), stored=12, window=W12),
        syntax=JPEG2000Lossless,
        dcmtk=None,
    ),
    *(
        Encoding(
            f"High Bit {bits + shift - 1} of {bits}",
            partial(
                grey,
                unsigned(bits, shift=shift),
                stored=bits,
                HighBit=bits + shift - 1,
                window=(2.0 ** (bits - 1), 2.0**bits),
            ),
            2 if bits < 10 else 1,
        )
        for bits, shift in ((12, 4), (12, 1), (10, 2), (8, 8))
    ),
    Encoding(
        "High Bit 15 of 12, RLE",
        lambda: grey(unsigned(12, shift=4), stored=12, HighBit=15, window=W12),
        syntax=RLELossless,
    ),
    Encoding(
        "High Bit 15 of 12, signed",
        lambda: grey(signed(12) << 4, stored=12, HighBit=15, window=(0, 4096)),
    ),
    Encoding("overlay in the high bits", with_overlay_bits),
    *(
        Encoding(
            f"rescale {slope} {intercept}",
            partial(
                grey,
                4095 - unsigned(12) if slope < 0 else unsigned(12),
                stored=12,
                window=window,
                RescaleSlope=slope,
                RescaleIntercept=intercept,
            ),
        )
        for slope, intercept, window in (
            (1, -1024, (1024, 4096)),
            (0.5, 7, (1031, 2048)),
            (-1, 4095, W12),
            (-2, 0, (-4095, 8192)),
            (0, 0, W12),
        )
    ),
    Encoding(
        "modality LUT",
        lambda: grey(
            unsigned(8),
            stored=8,
            allocated=8,
            window=(2048, 4096),
            ModalityLUTSequence=table(ramp(256, 4095), [256, 0, 16]),
        ),
    ),
    Encoding(
        "modality LUT of signed pixels",
        lambda: grey(
            signed(8),
            stored=8,
            allocated=8,
            window=(2048, 4096),
            ModalityLUTSequence=table(ramp(256, 4095), [256, 65536 - 128, 16]),
        ),
    ),
    Encoding(
        "modality LUT, big endian",
        lambda: swapped_words(
            grey(
                unsigned(8),
                stored=8,
                window=(2048, 4096),
                ModalityLUTSequence=table(ramp(256, 4095, ">u2"), [256, 0, 16]),
            ),
            words=True,
        ),
        syntax=BE,
    ),
    *(
        Encoding(f"{name}, modality LUT, {relationship}", partial(intensities, c, relationship))
        for name, c in (("XA", XA), ("XRF", XRF), ("biplane", XA_BIPLANE))
        for relationship in ("LOG", "LIN", "DISP")
    ),
    # DCMTK takes the modality LUT of these for one of display.
    Encoding("MG, modality LUT, LOG", lambda: intensities(MG, "LOG"), dcmtk=None),
    Encoding("DX, modality LUT, LOG", lambda: intensities(DX, "LOG"), dcmtk=None),
    Encoding(
        "LINEAR_EXACT",
        lambda: grey(unsigned(12), stored=12, window=(2047.5, 4095), VOILUTFunction="LINEAR_EXACT"),
    ),
    Encoding("VOI LUT of 8 bits", lambda: voi(255, 8), dcmtk=VOI),
    Encoding("VOI LUT of 12 bits", lambda: voi(4095, 12), dcmtk=VOI),
    Encoding("VOI LUT of 16 bits", lambda: voi(65535, 16), dcmtk=VOI),
    # DCMTK shows these as dark as their descriptor says.
    Encoding("VOI LUT of 8 bits that says 16", lambda: voi(255, 16), dcmtk=None),
    Encoding("VOI LUT of 10 bits that says 12", lambda: voi(1023, 12), dcmtk=None),
    Encoding("VOI LUT of 12 bits that says 16", lambda: voi(4095, 16), dcmtk=None),
    Encoding("VOI LUT of 16 bits that says 12", lambda: voi(65535, 12), dcmtk=None),
    Encoding(
        "VOI LUT of packed bytes",
        lambda: grey(
            unsigned(8), stored=8, VOILUTSequence=table(ramp(256, 255, "u1"), [256, 0, 8])
        ),
        dcmtk=VOI,
    ),
    Encoding(
        "VOI LUT, big endian",
        lambda: swapped_words(
            grey(
                unsigned(12),
                stored=12,
                VOILUTSequence=table(ramp(4096, 4095, ">u2"), [4096, 0, 12]),
            ),
            words=True,
        ),
        syntax=BE,
        dcmtk=VOI,
    ),
    Encoding("negative VOI LUT, SS", lambda: hounsfield_lut(-1024, "SS"), dcmtk=VOI),
    Encoding("negative VOI LUT, US", lambda: hounsfield_lut(65536 - 1024, "US"), dcmtk=VOI),
    Encoding(
        "negative VOI LUT, implicit",
        lambda: hounsfield_lut(-1024, "SS"),
        syntax=IMPLICIT,
        dcmtk=VOI,
    ),
    Encoding(
        "VOI LUT from 40000 on, SS",
        lambda: grey(
            unsigned(12) + np.uint16(40000),
            stored=16,
            VOILUTSequence=table(ramp(4096, 4095), [4096, 40000 - 65536, 12], vr="SS"),
        ),
        dcmtk=None,
    ),
    *(
        Encoding(
            f"{photometric}, shape {shape}",
            partial(polarity, photometric, shape, inverted=inverted),
        )
        for photometric, shape, inverted in (
            ("MONOCHROME1", None, True),
            ("MONOCHROME1", "INVERSE", True),
            ("MONOCHROME1", "IDENTITY", False),
            ("MONOCHROME2", "IDENTITY", False),
            ("MONOCHROME2", "INVERSE", True),
        )
    ),
    Encoding("palette of bytes", lambda: palette(ramp(256, 255, "u1"), [256, 0, 8]), dcmtk=()),
    Encoding("palette of 8 bits in 16", lambda: palette(ramp(256, 255), [256, 0, 8]), dcmtk=()),
    Encoding("palette of 16 bits", lambda: palette(ramp(256, 65535), [256, 0, 16]), dcmtk=()),
    Encoding(
        "palette of 16 bits that says 8", lambda: palette(ramp(256, 65535), [256, 0, 8]), dcmtk=()
    ),
    # DCMTK shows black.
    Encoding(
        "palette of 8 bits that says 16", lambda: palette(ramp(256, 255), [256, 0, 16]), dcmtk=None
    ),
    Encoding(
        "palette from 20 on",
        lambda: palette(
            ramp(200, 65535), [200, 20, 16], values=np.round(picture() * 199 + 20).astype(np.uint8)
        ),
        2,
        dcmtk=(),
    ),
    *(
        Encoding(
            f"palette, big endian, {name}",
            partial(big_endian_palette, entries, bits),
            syntax=BE,
            dcmtk=(),
        )
        for name, entries, bits in (
            ("16 bits", ramp(256, 65535, ">u2"), 16),
            ("8 bits in 16", ramp(256, 255, ">u2"), 8),
            ("bytes", np.frombuffer(ramp(256, 255, "u1"), "<u2").byteswap().tobytes(), 8),
        )
    ),
    Encoding(
        "segmented palette",
        lambda: palette(struct.pack("<9H", *_SEGMENTS), [256, 0, 16], segmented=True),
        dcmtk=None,
    ),
    Encoding(
        "segmented palette of 8 bits",
        lambda: palette(
            struct.pack("<10B", 0, 1, 0, 1, 127, 127, 1, 128, 255, 0), [256, 0, 8], segmented=True
        ),
        dcmtk=None,
    ),
    Encoding(
        "segmented palette, big endian",
        lambda: swapped_words(
            palette(struct.pack(">9H", *_SEGMENTS), [256, 0, 16], segmented=True), words=False
        ),
        syntax=BE,
        dcmtk=None,
    ),
    Encoding("RGB", lambda: colour(colour_picture()), 0.01, colour=True, dcmtk=()),
    Encoding(
        "RGB by plane", lambda: colour(colour_picture(), planar=1), 0.01, colour=True, dcmtk=()
    ),
    Encoding(
        "RGB, RLE", lambda: colour(colour_picture()), 0.01, RLELossless, colour=True, dcmtk=()
    ),
    Encoding(
        "RGB, big endian in OW",
        lambda: swapped_words(colour(colour_picture()), words=False),
        0.01,
        BE,
        colour=True,
        dcmtk=(),
    ),
    Encoding(
        "YBR_FULL",
        lambda: colour(convert_color_space(colour_picture(), "RGB", "YBR_FULL"), "YBR_FULL"),
        2,
        colour=True,
        dcmtk=(),
    ),
    Encoding(
        "RGB, JPEG-LS",
        lambda: colour(colour_picture()),
        0.01,
        JPEGLSLossless,
        colour=True,
        dcmtk=None,
    ),
    Encoding(
        "RGB, JPEG 2000",
        lambda: colour(colour_picture()),
        0.01,
        JPEG2000Lossless,
        colour=True,
        dcmtk=None,
    ),
)
