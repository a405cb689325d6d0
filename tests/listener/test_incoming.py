"""A data set on its way to the disk: whole and in order, however much of it is held in memory."""

from __future__ import annotations

import hashlib
import random

import pytest

from listener.incoming import _HELD, IncomingDataSet

HEADER = b"header"


def fragments_of(data: bytes, *, seed: int) -> list[memoryview]:
    chance, view, parts = random.Random(seed), memoryview(data), []
    while view:
        size = chance.choice([1, 8 * 1024, 131_066, 700_000])
        parts.append(view[:size])
        view = view[size:]
    return parts


@pytest.mark.parametrize("header", [b"", HEADER])
@pytest.mark.parametrize("size", [0, 1, _HELD - len(HEADER), _HELD, _HELD + 1, 3 * _HELD + 17])
def test_what_is_written_is_what_came(tmp_path, size, header):
    data = random.Random(size).randbytes(size)
    with IncomingDataSet(tmp_path, header) as incoming:
        for number, fragment in enumerate(fragments_of(data, seed=size)):
            incoming.write(fragment)
            if number == 1:
                # asked for on the way, it is that of what came until now
                assert incoming.sha256 == hashlib.sha256(data[: incoming.size]).hexdigest()
        assert incoming.size == size
        assert incoming.sha256 == hashlib.sha256(data).hexdigest()
        content = incoming.content()
        assert content == data
        incoming.sync(modified_ns=1_000_000_000)
        assert content == data  # the view stays good while it is written
        incoming.rename(tmp_path / "kept")
        assert incoming.sha256 == hashlib.sha256(data).hexdigest()
    assert (tmp_path / "kept").read_bytes() == header + data
    assert (tmp_path / "kept").stat().st_mtime_ns == 1_000_000_000
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_what_was_not_renamed_is_gone(tmp_path):
    with IncomingDataSet(tmp_path, HEADER) as incoming:
        incoming.write(bytes(2 * _HELD))
        assert list(tmp_path.iterdir()) == [incoming.path]
    assert not list(tmp_path.iterdir())
