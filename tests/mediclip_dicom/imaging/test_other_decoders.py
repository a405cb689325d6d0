"""Pixels are those that other decoders give: DCMTK, and GDCM for what DCMTK does not read."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_files
from pydicom.pixels.utils import iter_pixels
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from listener import transfer_syntaxes
from mediclip_dicom.imaging import iter_frames
from mediclip_dicom.imaging.decoding import plugin_for
from tests.conftest import leave_out
from tests.factories import sources

Stored = npt.NDArray[np.int64]
Example = Callable[[str], Path]

HT_SYNTAXES = (HTJ2K, HTJ2KLossless, HTJ2KLosslessRPCL)
_JPEG = ("dcmdjpeg", "+cn")  # +cn: stored values, without a change of colour space
_GDCM = ("gdcmconv", "--raw")
TOOLS: dict[UID, tuple[str, ...]] = {
    JPEGBaseline8Bit: _JPEG,
    JPEGExtended12Bit: _JPEG,
    JPEGLossless: _JPEG,
    JPEGLosslessSV1: _JPEG,
    JPEGLSLossless: ("dcmdjpls",),
    JPEGLSNearLossless: ("dcmdjpls",),
    RLELossless: ("dcmdrle",),
    JPEG2000: _GDCM,
    JPEG2000Lossless: _GDCM,
}
PLAIN = ("dcmconv", "+te")
PACKAGES = {"gdcmconv": "libgdcm-tools"}

# The inverse DCT is free to round either way (ISO/IEC 10918-2), and a pixel of chroma that was
# halved on its way is free to be any mean of its neighbours.
ROUNDING = {JPEGBaseline8Bit: 1, JPEGExtended12Bit: 1}
UPSAMPLED = {"TestPattern_JPEG-Baseline_YBR422.dcm": 7}

LEFT_OUT = {
    "SC_rgb_jpeg.dcm": "no fragments",
    "JPEG-lossy.dcm": "a scan that its process has not",
    "JPEG2000-embedded-sequence-delimiter.dcm": "a broken code stream",
    "emri_small_jpeg_2k_lossless_too_short.dcm": "a truncated code stream",
    "JLSL_08_07_0_1F.dcm": "7 bits, which DCMTK does not read",
    "liver_rle.dcm": "1 bit, which RLE can't hold (PS3.5 8.2.2)",
    "liver_nonbyte_aligned_rle.dcm": "1 bit, which RLE can't hold (PS3.5 8.2.2)",
    "rtdose_expb.dcm": "32 bits in OW, of which DCMTK swaps the halves",
    "rtdose_expb_1frame.dcm": "32 bits in OW, of which DCMTK swaps the halves",
}


def _is_image_of(path: Path, syntax: UID) -> bool:
    try:
        header = dcmread(path, stop_before_pixels=True)
    except Exception:  # noqa: BLE001 (the folders hold files that are no DICOM, on purpose)
        return False
    return "Rows" in header and header.file_meta.get("TransferSyntaxUID") == syntax


def _images(files: Iterable[Path], syntax: UID) -> list[Path]:
    found = {path.name: path for path in files if path.is_file()}
    paths = [
        path
        for name, path in sorted(found.items())
        if name not in LEFT_OUT and _is_image_of(path, syntax)
    ]
    # Nothing to decode: a few of hundreds will do.
    return paths[::50] if syntax == ExplicitVRLittleEndian else paths


def _by_ours(path: Path) -> list[Stored]:
    syntax = dcmread(path, stop_before_pixels=True).file_meta.TransferSyntaxUID
    source = dcmread(path) if syntax.is_deflated else path
    pixels = iter_pixels(source, raw=True, decoding_plugin=plugin_for(syntax))
    return [frame.astype(np.int64) for frame in pixels]


def _by_another(path: Path, command: tuple[str, ...], folder: Path) -> list[Stored]:
    if shutil.which(command[0]) is None:
        package = PACKAGES.get(command[0], "dcmtk")
        leave_out(f"{command[0]} is not installed (Debian package {package})")
    decoded = folder / f"{path.name}.decoded.dcm"
    subprocess.run([*command, str(path), str(decoded)], check=True, capture_output=True)
    return [frame.astype(np.int64) for frame in iter_pixels(decoded, raw=True)]


def _compare(paths: list[Path], command: tuple[str, ...], folder: Path, *, rounding: int) -> None:
    for path in paths:
        ours, theirs = _by_ours(path), _by_another(path, command, folder)
        assert len(ours) == len(theirs), path.name
        for mine, other in zip(ours, theirs, strict=True):
            assert mine.shape == other.shape, path.name
            worst = int(np.abs(mine - other).max())
            assert worst <= UPSAMPLED.get(path.name, rounding), (path.name, worst)
            assert np.abs(mine - other).mean() < 0.1, path.name


READ_BY_OTHERS = [syntax for syntax in transfer_syntaxes() if syntax not in HT_SYNTAXES]


@pytest.mark.parametrize("syntax", READ_BY_OTHERS, ids=lambda syntax: syntax.keyword)
def test_every_bundled_file_of_a_syntax_has_the_pixels_of_another_decoder(
    syntax: UID, tmp_path: Path
) -> None:
    paths = _images((Path(str(path)) for path in get_testdata_files()), syntax)
    if not paths:
        pytest.skip(f"pydicom brings no file of {syntax.name}")
    _compare(paths, TOOLS.get(syntax, PLAIN), tmp_path, rounding=ROUNDING.get(syntax, 0))


@pytest.mark.parametrize("syntax", READ_BY_OTHERS, ids=lambda syntax: syntax.keyword)
def test_every_shared_file_of_a_syntax_has_the_pixels_of_another_decoder(
    syntax: UID, shared_data: Path, tmp_path: Path
) -> None:
    paths = _images((shared_data / "dicom").rglob("*"), syntax)
    if not paths:
        pytest.skip(f"the shared data has no file of {syntax.name}")
    _compare(paths, TOOLS.get(syntax, PLAIN), tmp_path, rounding=ROUNDING.get(syntax, 0))


@pytest.mark.parametrize(
    ("syntax", "arguments"),
    [
        (JPEGBaseline8Bit, ("dcmcjpeg", "+eb")),
        (JPEGExtended12Bit, ("dcmcjpeg", "+ee")),
        *[(JPEGLossless, ("dcmcjpeg", "+el", "+sv", str(value))) for value in range(1, 8)],
        (JPEGLosslessSV1, ("dcmcjpeg", "+e1")),
        (JPEGLSLossless, ("dcmcjpls", "+el")),
        (JPEGLSNearLossless, ("dcmcjpls", "+en", "+md", "2")),
        (RLELossless, ("dcmcrle",)),
    ],
    ids=lambda value: value.keyword if isinstance(value, UID) else value[-1],
)
def test_what_dcmtk_encodes_is_decoded_as_dcmtk_decodes_it(
    syntax: UID, arguments: tuple[str, ...], example: Example, dcmtk: Path, tmp_path: Path
) -> None:
    unsigned = syntax in (JPEGBaseline8Bit, JPEGLSNearLossless)
    source = example("examples_overlay.dcm" if unsigned else "MR_small.dcm")
    encoded = tmp_path / "encoded.dcm"
    subprocess.run([*arguments, str(source), str(encoded)], check=True, capture_output=True)
    assert _is_image_of(encoded, syntax)
    _compare([encoded], TOOLS[syntax], tmp_path, rounding=ROUNDING.get(syntax, 0))
    if syntax not in (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless):
        (found,), (plain,) = _by_ours(encoded), _by_ours(source)
        assert (found == plain).all(), "a lossless syntax changes no pixel"


@pytest.mark.parametrize("syntax", HT_SYNTAXES, ids=lambda syntax: syntax.keyword)
def test_high_throughput_jpeg_2000_is_decoded(
    syntax: UID, example: Example, tmp_path: Path
) -> None:
    """Neither DCMTK nor GDCM reads it; the example shows a dark boat below an orange sky.

    There is one code stream at hand, an irreversible one in RPCL order. Under the UIDs of the
    reversible syntaxes it shows only that these are decoded by what decodes it.
    """
    dataset = dcmread(example("HTJ2K_08_RGB.dcm"))
    dataset.file_meta.TransferSyntaxUID = syntax
    (frame,) = iter_frames(sources.write(dataset, tmp_path / "ht.dcm"))
    assert frame.rgb.shape == (480, 640, 3)
    sky, hull = frame.rgb[:140], frame.rgb[280:290, 300:328]
    assert np.allclose(sky.mean(axis=(0, 1)), (0.66, 0.5, 0.22), atol=0.05)
    assert sky.std(axis=(0, 1)).max() < 0.05
    assert hull.mean() < 0.5 * sky.mean()
