"""The same picture is displayed alike in every encoding; by DCMTK, too, where DCMTK reads it."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from openjpeg.utils import encode_array
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels.utils import iter_pixels
from pydicom.uid import ExplicitVRBigEndian, JPEG2000Lossless

from mediclip_dicom.errors import UndecodableFrameError
from mediclip_dicom.imaging import Window, iter_frames
from tests.conftest import leave_out
from tests.factories import encodings
from tests.factories.encodings import ENCODINGS, Encoding, grey, picture, unsigned, write_encoding

NAMES = [encoding.name for encoding in ENCODINGS]
Example = Callable[[str], Path]


def expected(encoding: Encoding) -> np.ndarray:
    if encoding.colour:
        return encodings.colour_picture() / 255
    return np.repeat(picture()[:, :, np.newaxis], 3, axis=2)


def display(path: Path, window: Window | None = None) -> np.ndarray:
    (frame,) = iter_frames(path, window=window)
    return frame.rgb


def worst(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.abs(found - wanted).max() * 255)


@pytest.mark.parametrize("encoding", ENCODINGS, ids=NAMES)
def test_the_picture_is_displayed_alike_in_every_encoding(
    encoding: Encoding, tmp_path: Path
) -> None:
    path = write_encoding(encoding, tmp_path)
    assert worst(display(path), expected(encoding)) <= encoding.tolerance


@pytest.mark.parametrize(
    "encoding", [e for e in ENCODINGS if e.dcmtk is not None], ids=lambda e: e.name
)
def test_dcmtk_displays_it_alike(encoding: Encoding, tmp_path: Path) -> None:
    if shutil.which("dcm2pnm") is None:
        leave_out("dcm2pnm is not installed (Debian package dcmtk)")
    path, shown = write_encoding(encoding, tmp_path), tmp_path / "shown.ppm"
    command = ["dcm2pnm", "--no-overlays", *(encoding.dcmtk or ()), str(path), str(shown)]
    subprocess.run(command, check=True, capture_output=True)
    with Image.open(shown) as opened:
        theirs = np.asarray(opened.convert("RGB")) / 255
    assert worst(display(path), theirs) <= encoding.tolerance + 1  # DCMTK rounds to 8 bits


def contradictory(**attributes: Any) -> Dataset:
    return grey(unsigned(12), stored=12, window=encodings.W12, **attributes)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: contradictory(HighBit=10), "16 Bits Allocated, 12 Bits Stored, High Bit 10"),
        (lambda: contradictory(HighBit=16), "High Bit 16"),
        (lambda: contradictory(RescaleSlope=0, RescaleIntercept=-1024), "Rescale Slope 0"),
        (lambda: contradictory(PhotometricInterpretation="RGB"), "Samples per Pixel says 1"),
        (lambda: contradictory(PhotometricInterpretation="YBR_PARTIAL_420"), "is retired"),
        (lambda: contradictory(PhotometricInterpretation="CMYK"), "is retired"),
        (
            lambda: contradictory(VOILUTSequence=encodings.table(bytes(8192), [4096, 0, 12])),
            "every entry of a LUT is the same",
        ),
        (
            lambda: contradictory(VOILUTSequence=encodings.table(bytes(100), [4096, 0, 12])),
            "announces 4096 entries and holds 100",
        ),
        (
            lambda: encodings.palette(encodings.ramp(100, 65535), [256, 0, 16]),
            "announces 256 entries and holds 200",
        ),
    ],
)
def test_contradictions_are_left_out_with_the_reason_and_never_dark(
    make: Callable[[], Dataset], reason: str, tmp_path: Path
) -> None:
    path = write_encoding(Encoding("contradictory", make), tmp_path)
    with pytest.raises(UndecodableFrameError, match=reason):
        display(path)


def test_a_sigmoid_window_and_a_tasks_window_hold_for_every_high_bit(tmp_path: Path) -> None:
    values = np.round(picture() * 4095)
    dataset = grey(
        unsigned(12, shift=4),
        stored=12,
        HighBit=15,
        window=encodings.W12,
        VOILUTFunction="SIGMOID",
    )
    path = write_encoding(Encoding("sigmoid", lambda: dataset), tmp_path)
    sigmoid = 1 / (1 + np.exp(-4 * (values - 2048) / 4096))
    np.testing.assert_allclose(display(path)[..., 0], sigmoid, atol=1e-6)
    fixed = np.clip((values - 999.5) / 999 + 0.5, 0, 1)
    np.testing.assert_allclose(display(path, Window(1000, 1000))[..., 0], fixed, atol=1e-6)


def test_padding_is_black_where_it_is_written_without_its_sign(tmp_path: Path) -> None:
    values = (encodings.signed(12).astype(np.uint16) & 0xFFF).copy()
    values[:10] = 0x800
    dataset = grey(values, stored=12, window=(0, 4096), PixelRepresentation=1)
    dataset.PhotometricInterpretation = "MONOCHROME1"
    dataset.add_new("PixelPaddingValue", "US", 0x800)
    path = write_encoding(Encoding("padding", lambda: dataset), tmp_path)
    assert (display(path)[:10] == 0).all()
    assert (display(path)[12:20] > 0).all()


def test_colours_of_a_supplemental_palette_are_shown_above_the_first_mapped_value(
    tmp_path: Path,
) -> None:
    values = np.round(picture() * 99).astype(np.uint16)
    values[20:30] = 150
    dataset = grey(values, stored=8, window=(50, 100), PixelPresentation="MIXED")
    for colour, brightness in (("Red", 65535), ("Green", 0), ("Blue", 0)):
        dataset.add_new(f"{colour}PaletteColorLookupTableDescriptor", "US", [100, 100, 16])
        entries = np.full(100, brightness, "<u2").tobytes()
        dataset.add_new(f"{colour}PaletteColorLookupTableData", "OW", entries)
    rgb = display(write_encoding(Encoding("supplemental", lambda: dataset), tmp_path))
    assert (rgb[20:30] == (1, 0, 0)).all()
    np.testing.assert_allclose(rgb[:20], np.repeat(picture()[:20, :, None], 3, axis=2), atol=0.02)


@pytest.mark.parametrize(("rows", "columns"), [(3, 3), (5, 3), (7, 9), (4, 4), (1, 10)])
@pytest.mark.parametrize("layout", ["packed", "each frame on a byte of its own", "big endian"])
def test_frames_of_one_bit_may_end_within_a_byte(
    rows: int, columns: int, layout: str, tmp_path: Path
) -> None:
    frames = np.random.default_rng(rows).integers(0, 2, (40, rows, columns), dtype=np.uint8)
    dataset = grey(frames[0], stored=1, allocated=8)
    dataset.Rows, dataset.Columns, dataset.NumberOfFrames = rows, columns, len(frames)
    dataset.BitsAllocated = 1
    parts = frames.reshape(40, -1) if layout.startswith("each") else frames.reshape(1, -1)
    data = b"".join(np.packbits(part, bitorder="little").tobytes() for part in parts)
    data += b"\0" * (len(data) % 2)
    encoding = Encoding("one bit", lambda: dataset)
    if layout == "big endian":
        data = np.frombuffer(data, "<u2").byteswap().tobytes()
        encoding = Encoding("one bit", lambda: dataset, syntax=ExplicitVRBigEndian)
    dataset.PixelData = data
    dataset["PixelData"].VR = "OW" if layout == "big endian" else "OB"
    found = [frame.rgb for frame in iter_frames(write_encoding(encoding, tmp_path))]
    assert len(found) == len(frames)
    for shown, frame in zip(found, frames, strict=True):
        np.testing.assert_array_equal(shown[..., 0], frame)


def test_one_bit_frames_that_are_cut_short_are_an_error(tmp_path: Path) -> None:
    dataset = grey(np.zeros((5, 3), np.uint8), stored=1, allocated=8)
    dataset.Rows, dataset.Columns, dataset.NumberOfFrames, dataset.BitsAllocated = 5, 3, 9, 1
    dataset.PixelData = bytes(10)
    with pytest.raises(UndecodableFrameError, match="frame 6"):
        list(iter_frames(write_encoding(Encoding("one bit", lambda: dataset), tmp_path)))


def test_the_scan_header_of_a_sequential_jpeg_is_repaired(example: Example, tmp_path: Path) -> None:
    """The 12-bit JPEG of the WG04 set has the spectral selection of another process."""
    path = example("JPEG-lossy.dcm")
    if shutil.which("dcmdjpeg") is None:
        leave_out("dcmdjpeg is not installed (Debian package dcmtk)")
    decoded = tmp_path / "decoded.dcm"
    subprocess.run(["dcmdjpeg", str(path), str(decoded)], check=True, capture_output=True)
    stored = dcmread(decoded).pixel_array.astype(float)
    low, high = stored.min(), stored.max()
    window = Window((low + high) / 2, high - low)
    # The inverse DCT may round either way.
    assert np.abs(display(path, window) - display(decoded, window)).max() <= 1.01 / (high - low - 1)


def test_a_lossless_frame_that_the_first_decoder_refuses_is_read_by_the_second(
    example: Example, tmp_path: Path
) -> None:
    """CharLS refuses a temporary marker (TEM) before the frame header; libjpeg passes over it."""
    plain = display(example("MR_small.dcm"))
    dataset = dcmread(example("MR_small_jpeg_ls_lossless.dcm"))
    stream = bytearray(next(iter(_frames(dataset))))
    dataset.PixelData = encapsulate([bytes(stream[:2]) + b"\xff\x01" + bytes(stream[2:])])
    path = tmp_path / "odd.dcm"
    dataset.save_as(path, enforce_file_format=True)
    with pytest.raises(RuntimeError, match="pyjpegls"):
        next(iter_pixels(path, decoding_plugin="pyjpegls"))
    np.testing.assert_array_equal(display(path), plain)


def _frames(dataset: Dataset) -> Iterator[bytes]:
    return generate_frames(dataset.PixelData, number_of_frames=1)


def test_a_lossy_syntax_has_one_decoder(tmp_path: Path, example: Example) -> None:
    dataset = dcmread(example("JPEG2000.dcm"))
    (stream,) = _frames(dataset)
    dataset.PixelData = encapsulate([stream[:60]])
    path = tmp_path / "broken.dcm"
    dataset.save_as(path, enforce_file_format=True)
    with pytest.raises(UndecodableFrameError, match="pylibjpeg"):
        display(path)


def test_negative_samples_under_an_unsigned_header_are_left_out(tmp_path: Path) -> None:
    values = np.round(picture() * 2000 - 1000).astype(np.int16)
    stream = encode_array(values, photometric_interpretation=2, bits_stored=12, codec_format=0)
    dataset = grey(values, stored=12, window=(0, 2000), PixelRepresentation=0)
    dataset.PixelData = encapsulate([stream])
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless
    path = tmp_path / "signed.dcm"
    dataset.save_as(path, enforce_file_format=True)
    with pytest.raises(UndecodableFrameError, match="code stream is signed"):
        display(path)


def test_a_component_transformation_is_undone_once(tmp_path: Path) -> None:
    rgb = encodings.colour_picture()
    stream = encode_array(rgb, photometric_interpretation=1, use_mct=True, codec_format=0)
    dataset = encodings.colour(rgb, "YBR_FULL")
    dataset.PixelData = encapsulate([stream])
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless
    path = tmp_path / "transformed.dcm"
    dataset.save_as(path, enforce_file_format=True)
    assert worst(display(path), rgb / 255) < 0.01
