"""A file is replaced whole, or left as it was."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ai_core.files import locked, replaced, write_bytes, write_text


def test_new_content_takes_the_place_of_old_and_leaves_nothing_else(tmp_path: Path):
    file = tmp_path / "record.json"
    write_bytes(file, b"old")
    write_text(file, "neu: ä\r\n")
    assert file.read_bytes() == "neu: ä\r\n".encode()
    assert list(tmp_path.iterdir()) == [file]


def test_a_failed_write_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "record.json"
    write_bytes(file, b"old")

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        write_bytes(file, b"new")
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


def test_writers_at_the_same_time_leave_one_whole_content(tmp_path: Path):
    file = tmp_path / "record.json"
    contents = [bytes([65 + number]) * 100_000 for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda content: write_bytes(file, content), contents * 4))
    assert file.read_bytes() in contents
    assert list(tmp_path.iterdir()) == [file]


def test_a_file_written_piece_by_piece_appears_when_it_is_whole(tmp_path: Path):
    file = tmp_path / "tokens.npy"
    with replaced(file) as partial:
        partial.write_bytes(b"half")
        assert not file.exists()
        partial.write_bytes(b"whole")
    assert file.read_bytes() == b"whole"


def test_a_file_that_was_not_finished_does_not_appear(tmp_path: Path):
    file = tmp_path / "tokens.npy"
    file.write_bytes(b"old")

    def stop_halfway() -> None:
        with replaced(file) as partial:
            partial.write_bytes(b"half")
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        stop_halfway()
    assert file.read_bytes() == b"old"


def test_two_writers_of_a_large_file_never_write_into_one(tmp_path: Path):
    file = tmp_path / "tokens.npy"

    def write(letter: str) -> None:
        with replaced(file) as partial, partial.open("w") as opened:
            for _ in range(200):
                opened.write(letter * 1000)
                opened.flush()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, "abcdabcd"))
    assert len(set(file.read_text())) == 1
    assert file.stat().st_size == 200_000
    assert list(tmp_path.iterdir()) == [file]


def test_a_lock_is_held_by_one_and_free_afterwards(tmp_path: Path):
    with (
        locked(tmp_path / "lock"),
        pytest.raises(BlockingIOError),
        locked(tmp_path / "lock", wait=False),
    ):
        pass
    with locked(tmp_path / "lock", wait=False):
        pass
