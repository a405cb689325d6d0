"""Code streams of the JPEG family: their headers, and one fault there that can be repaired."""

from __future__ import annotations

from dataclasses import dataclass

_SOI = 0xD8
_SOS = 0xDA
_SEQUENTIAL = (0xC0, 0xC1)
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD8)})

_J2K_START = b"\xff\x4f\xff\x51"  # SOC, then SIZ
_J2K_COD = b"\xff\x52"
_J2K_TILE = b"\xff\x90"


@dataclass(frozen=True, slots=True)
class CodeStream:
    """Facts of a JPEG, JPEG-LS or JPEG 2000 code stream.

    Attributes:
        precision: bits of a sample.
        signed: the samples are signed; only JPEG 2000 can say so.
        component_transform: JPEG 2000's multiple component transformation, which a decoder undoes.
    """

    precision: int
    signed: bool = False
    component_transform: bool = False


def read_code_stream(frame: bytes) -> CodeStream | None:
    """Read the facts of a frame's code stream; `None` where it has no header that can be read."""
    start = frame.find(_J2K_START, 0, 4096)  # a JP2 box may come before it
    if start >= 0:
        return _jpeg_2000(frame, start)
    for marker, position, length in _segments(frame):
        if marker in _FRAME_HEADERS and length >= 8:
            return CodeStream(precision=frame[position + 4])
    return None


def repair_jpeg_header(frame: bytes) -> bytes:
    """Correct the scan header of a sequential JPEG with the spectral selection of another.

    A sequential scan holds all coefficients, 0 to 63, without successive approximation (ISO/IEC
    10918-1, table B.3): other numbers there change nothing about the data, and strict decoders
    refuse them.

    Returns:
        the frame, of the same length; unchanged where there is nothing to correct.
    """
    sequential = False
    repaired = bytearray(frame)
    for marker, position, length in _segments(frame):
        sequential = sequential or marker in _SEQUENTIAL
        if marker == _SOS and sequential:
            end = position + 2 + length
            repaired[end - 3 : end] = bytes((0, 63, 0))
    return bytes(repaired)


def _segments(frame: bytes) -> list[tuple[int, int, int]]:
    """List the marker segments up to the first scan: (marker, position of its FF, length)."""
    found: list[tuple[int, int, int]] = []
    position = 2 if frame[:2] == bytes((0xFF, _SOI)) else len(frame)
    while position + 4 <= len(frame) and frame[position] == 0xFF:
        marker = frame[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
            continue
        if marker in _STANDALONE:
            position += 2
            continue
        length = int.from_bytes(frame[position + 2 : position + 4], "big")
        if position + 2 + length > len(frame):
            break
        found.append((marker, position, length))
        if marker == _SOS:
            break
        position += 2 + length
    return found


def _jpeg_2000(frame: bytes, start: int) -> CodeStream | None:
    if len(frame) < start + 43:
        return None
    depth = frame[start + 42]  # Ssiz of the first component (ISO/IEC 15444-1, A.5.1)
    transform = False
    tile = frame.find(_J2K_TILE, start)
    position = start + 4 + int.from_bytes(frame[start + 4 : start + 6], "big")
    while position + 4 <= (tile if tile > 0 else len(frame)):
        if frame[position : position + 2] == _J2K_COD:
            transform = frame[position + 8] == 1
            break
        position += 2 + int.from_bytes(frame[position + 2 : position + 4], "big")
    return CodeStream((depth & 0x7F) + 1, bool(depth & 0x80), transform)
