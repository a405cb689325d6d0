"""Decoding of pixel data to stored values, frame by frame."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import structlog
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_fragments, generate_frames, parse_basic_offsets
from pydicom.filereader import read_partial
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.utils import iter_pixels
from pydicom.uid import (
    UID,
    JPEG2000Lossless,
    JPEG2000TransferSyntaxes,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    JPEGLSTransferSyntaxes,
    RLELossless,
)

from mediclip_dicom.imaging.codestream import CodeStream, read_code_stream, repair_jpeg_header
from mediclip_dicom.imaging.files import read_data_set
from mediclip_dicom.imaging.pixel_format import PixelFormat, pixel_format

Stored = npt.NDArray[Any]

log = structlog.get_logger()

# Decoders of lossy syntaxes differ in the pixels they give, so that a score would depend on what
# happens to be installed: one plugin is pinned per transfer syntax. pylibjpeg is the only one that
# reads every JPEG and JPEG 2000 process including 12-bit Extended; CharLS (pyjpegls) is the
# reference for JPEG-LS; pydicom's own RLE needs no extension.
_PLUGINS = {
    str(JPEGLSLossless): "pyjpegls",
    str(JPEGLSNearLossless): "pyjpegls",
    str(RLELossless): "pydicom",
}
_DEFAULT_PLUGIN = "pylibjpeg"

# Every decoder of a lossless syntax gives the same pixels, or fails: one that fails may be followed
# by another, without a change of any score. Those that are not installed are passed over.
_FURTHER_PLUGINS = {
    str(JPEGLSLossless): ("pylibjpeg", "gdcm"),
    str(JPEGLossless): ("gdcm",),
    str(JPEGLosslessSV1): ("gdcm",),
    str(JPEG2000Lossless): ("gdcm", "pillow"),
    str(RLELossless): ("pylibjpeg", "gdcm"),
}
_REPAIRED = (JPEGBaseline8Bit, JPEGExtended12Bit)
_JPEG = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1)


class _Attempt(NamedTuple):
    plugin: str
    repaired: bool


def plugin_for(transfer_syntax: UID | None) -> str:
    """Return pydicom's name of the decoder for a transfer syntax; empty if uncompressed."""
    if transfer_syntax is None or not transfer_syntax.is_compressed:
        return ""
    return _PLUGINS.get(str(transfer_syntax), _DEFAULT_PLUGIN)


def iter_stored(path: Path, dataset: Dataset) -> Iterator[Stored]:
    """Decode the stored values of each frame, YBR converted to RGB.

    Args:
        path: a DICOM file.
        dataset: its attributes before the pixel data, with the transfer syntax.

    Returns:
        (rows, columns) or (rows, columns, 3) of each frame, integers right-aligned and with their
        sign.

    Raises:
        ValueError: attributes that contradict each other or the pixel data.
        Exception: whatever the decoder raises at a frame that it can't read.
    """
    form = pixel_format(dataset)
    syntax = dataset.file_meta.TransferSyntaxUID
    if form.bits_allocated == 1 and not syntax.is_encapsulated:
        yield from _one_bit_frames(path, dataset)
        return
    stream = _first_code_stream(path) if _is_stream_asked(form, syntax) else None
    options: dict[str, Any] = {"transfer_syntax_uid": syntax}
    shift = 0
    if form.shift and not form.floating and (stream is None or stream.precision > form.bits_stored):
        # pydicom ends a value at Bits Stored; the bits below it are shifted out afterwards.
        options["bits_stored"] = form.high_bit + 1
        shift = form.shift
    if stream is not None and stream.component_transform and form.samples == 3:
        options["photometric_interpretation"] = "RGB"  # what the decoder gives
    for frame in _decoded(path, dataset, syntax, options):
        if stream is not None and stream.signed and not form.signed:
            _check_sign(frame, stream)
        yield frame >> shift if shift else frame


def _decoded(
    path: Path, dataset: Dataset, syntax: UID, options: dict[str, Any]
) -> Iterator[Stored]:
    """Decode with the first decoder, and go on with the next from the frame that it fails at."""
    expected = max(1, int(dataset.get("NumberOfFrames") or 1))
    done = 0
    first: Exception | None = None
    for attempt in _attempts(syntax):
        try:
            source = _source(path, syntax, repaired=attempt.repaired)
            pixels = iter_pixels(
                source,
                decoding_plugin=attempt.plugin,
                indices=range(done, expected) if done else None,
                **options,
            )
            for frame in pixels:
                done += 1
                yield frame
            return
        except Exception as error:  # noqa: BLE001 (decoders fail in many ways)
            first = first or error
            log.debug("decoder.failed", plugin=attempt.plugin, frame=done + 1)
    if first is not None:
        raise first


def _attempts(syntax: UID) -> Iterator[_Attempt]:
    yield _Attempt(plugin_for(syntax), repaired=False)
    if syntax in _REPAIRED:
        yield _Attempt(plugin_for(syntax), repaired=True)
    for plugin in _FURTHER_PLUGINS.get(str(syntax), ()):
        if plugin in get_decoder(syntax).available_plugins:
            yield _Attempt(plugin, repaired=False)


def _source(path: Path, syntax: UID, *, repaired: bool) -> Path | Dataset:
    if repaired:
        data_set = read_data_set(path)
        frames = generate_frames(
            data_set.PixelData, number_of_frames=int(data_set.get("NumberOfFrames") or 1)
        )
        data_set.PixelData = encapsulate([repair_jpeg_header(frame) for frame in frames])
        return data_set
    # pydicom 3.0 reads frames from an open file, but not through the deflate of a whole data set.
    return read_data_set(path) if syntax.is_deflated else path


def _is_stream_asked(form: PixelFormat, syntax: UID) -> bool:
    """Whether the header alone does not say what the decoder's values mean."""
    if form.floating:
        return False
    return syntax in JPEG2000TransferSyntaxes or (
        form.shift > 0 and (syntax in JPEGLSTransferSyntaxes or syntax in _JPEG)
    )


def _check_sign(frame: Stored, stream: CodeStream) -> None:
    """Refuse negative samples of a code stream under a header that has none.

    pydicom reads them as the unsigned values of the same bits, noise where they were meant.
    """
    if int(frame.max()) >= 2 ** (stream.precision - 1):
        raise ValueError(
            "contradictory header: Pixel Representation is unsigned, the JPEG 2000 code stream is "
            "signed and has negative samples"
        )


def _first_code_stream(path: Path) -> CodeStream | None:
    """Read the facts of the first frame's code stream from the beginning of the pixel data."""
    with path.open("rb") as file:
        read_partial(file, stop_when=lambda tag, _vr, _length: tag == 0x7FE00010, force=True)
        file.seek(12, 1)  # tag, VR, reserved, length
        parse_basic_offsets(file)
        fragment = next(generate_fragments(file), b"")
    return read_code_stream(fragment)


def _one_bit_frames(path: Path, dataset: Dataset) -> Iterator[Stored]:
    """Unpack pixels of one bit; a frame may begin and end within a byte (PS3.5 8.1.1, Annex D).

    pydicom 3.0 reads a byte too few of such a frame.
    """
    whole = read_data_set(path)
    data = np.frombuffer(whole.PixelData, dtype=np.uint8)
    if whole.original_encoding[1] is False and whole["PixelData"].VR == "OW":
        data = data[: data.size // 2 * 2].view("<u2").byteswap().view(np.uint8)
    frames = max(1, int(dataset.get("NumberOfFrames") or 1))
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    pixels = rows * columns
    packed, padded = -(-frames * pixels // 8), frames * -(-pixels // 8)
    # Some writers begin each frame on a byte of its own, against the standard: the length says so.
    apart = data.size > packed + packed % 2 and data.size in (padded, padded + padded % 2)
    step = 8 * -(-pixels // 8) if apart else pixels
    for index in range(frames):
        start = index * step
        bits = np.unpackbits(data[start // 8 : -(-(start + pixels) // 8)], bitorder="little")
        bits = bits[start % 8 : start % 8 + pixels]
        if bits.size < pixels:
            raise ValueError(f"the pixel data ends within frame {index + 1}")
        yield bits.reshape(rows, columns)
