"""A data set on its way to the disk: whole and in order, however much of it is held in memory."""

from __future__ import annotations

import errno
import random
from pathlib import Path

import pytest
from blake3 import blake3

from listener.spool.incoming import _BUFFER_SIZE as SIZE
from listener.spool.incoming import IncomingDataSet

HEADER = b"header"


def fragments_of(data: bytes, *, seed: int) -> list[memoryview]:
    chance, view, parts = random.Random(seed), memoryview(data), []
    while view:
        size = chance.choice([1, 8 * 1024, 131_066, 700_000])
        parts.append(view[:size])
        view = view[size:]
    return parts


@pytest.mark.parametrize("header", [b"", HEADER])
@pytest.mark.parametrize("size", [0, 1, SIZE - len(HEADER), SIZE, SIZE + 1, 3 * SIZE + 17])
def test_what_is_written_is_what_came(tmp_path, size, header):
    data = random.Random(size).randbytes(size)
    with IncomingDataSet(tmp_path / "part", header) as incoming:
        for number, fragment in enumerate(fragments_of(data, seed=size)):
            incoming.write(fragment)
            if number == 1:
                # asked for on the way, it is that of what came until now
                assert incoming.digest == blake3(data[: incoming.size]).hexdigest()
        assert incoming.size == size
        assert incoming.digest == blake3(data).hexdigest()
        content = incoming.content()
        assert content == data
        incoming.sync(modified_ns=1_000_000_000)
        assert content == data  # the view stays good while it is written
        incoming.name(tmp_path / "kept")
        assert incoming.digest == blake3(data).hexdigest()
    assert (tmp_path / "kept").read_bytes() == header + data
    assert (tmp_path / "kept").stat().st_mtime_ns == 1_000_000_000
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_what_was_not_named_is_gone(tmp_path):
    with IncomingDataSet(tmp_path / "part", HEADER) as incoming:
        incoming.write(bytes(2 * SIZE))
        assert [path.name for path in tmp_path.iterdir()] == ["part"]
    assert not list(tmp_path.iterdir())


def test_what_is_held_has_no_file(tmp_path):
    with IncomingDataSet(tmp_path / "part", HEADER) as incoming:
        incoming.write(b"data")
        assert bytes(incoming.content()) == b"data"
        assert not list(tmp_path.iterdir())


def no_links(self, target):
    raise OSError(errno.EPERM, "Operation not permitted")


@pytest.mark.parametrize("links", [True, False])
def test_a_name_is_not_taken_from_another(tmp_path, monkeypatch, links):
    if not links:  # as on FAT
        monkeypatch.setattr(Path, "hardlink_to", no_links)
    (tmp_path / "kept").write_bytes(b"another")
    with IncomingDataSet(tmp_path / "part", HEADER) as incoming:
        incoming.write(b"data")
        incoming.sync(modified_ns=1_000_000_000)
        with pytest.raises(FileExistsError):
            incoming.name(tmp_path / "kept")
        assert (tmp_path / "kept").read_bytes() == b"another"
        incoming.name(tmp_path / "free")
        assert (tmp_path / "free").read_bytes() == HEADER + b"data"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["free", "kept"]


def test_a_name_is_taken_where_that_is_wanted(tmp_path):
    (tmp_path / "kept").write_bytes(b"hal")
    with IncomingDataSet(tmp_path / "part", b"") as incoming:
        incoming.write(b"whole")
        incoming.sync(modified_ns=1_000_000_000)
        incoming.replace(tmp_path / "kept")
    assert (tmp_path / "kept").read_bytes() == b"whole"
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
