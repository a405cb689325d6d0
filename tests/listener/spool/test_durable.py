"""Locks between processes, and errors of the disk under one name."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from pathlib import Path

import pytest

from listener.errors import SpoolWriteError, StorageFullError
from listener.spool.durable import SharedLock, locked, write_atomically, write_errors


def is_free(path: Path) -> bool:
    """Whether someone else could have it alone now."""
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def test_a_shared_lock_is_held_until_the_last_of_its_threads_lets_go(tmp_path):
    path = tmp_path / "lock"
    lock = SharedLock(path)
    first_is_in, first_may_go = threading.Event(), threading.Event()

    def hold() -> None:
        with lock.held():
            first_is_in.set()
            first_may_go.wait(20)

    first = threading.Thread(target=hold)
    first.start()
    assert first_is_in.wait(20)
    with lock.held():
        first_may_go.set()
        first.join()
        assert not is_free(path)
    assert is_free(path)
    with lock.held():  # the file stayed open, and locks again
        assert not is_free(path)
    lock.close()


def test_who_has_it_alone_keeps_those_who_share_it_out(tmp_path):
    path, order = tmp_path / "lock", []
    lock = SharedLock(path)

    def share() -> None:
        with lock.held():
            order.append("shared")

    with locked(path):
        sharing = threading.Thread(target=share)
        sharing.start()
        sharing.join(0.2)
        order.append("alone")
    sharing.join(20)
    assert order == ["alone", "shared"]
    lock.close()


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, StorageFullError),
        (errno.EDQUOT, StorageFullError),
        (errno.EIO, SpoolWriteError),
    ],
)
def test_an_error_of_the_disk_says_whether_it_is_full(number, kind):
    with pytest.raises(SpoolWriteError) as caught, write_errors():
        raise OSError(number, "as the system says it")
    assert type(caught.value) is kind
    assert isinstance(caught.value.__cause__, OSError)


def test_other_errors_pass_as_they_are():
    with pytest.raises(KeyError), write_errors():
        raise KeyError("x")


def test_a_file_is_written_whole_and_replaces_the_one_before(tmp_path):
    temporary, path = tmp_path / "temporary", tmp_path / "note"
    temporary.mkdir()
    for parts in ((b"old",), (b"a", b"", memoryview(b"new one"))):
        write_atomically(path, parts, temporary=temporary)
        assert path.read_bytes() == b"".join(parts)
    assert list(temporary.iterdir()) == []


def test_a_write_that_fails_leaves_the_file_before_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "note"
    path.write_bytes(b"old")

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        write_atomically(path, (b"new",), temporary=tmp_path)
    assert [(found.name, found.read_bytes()) for found in tmp_path.iterdir()] == [("note", b"old")]
