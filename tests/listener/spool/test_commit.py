"""The last step of receiving, at its edges: repeats, removals meanwhile, a clock that stands."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from listener.errors import InvalidInstanceError
from listener.spool import commit as module
from listener.spool.commit import Committer
from listener.spool.durable import DurableFolders
from listener.spool.incoming import IncomingDataSet
from listener.spool.part10 import TransferInfo, file_header, read_header
from listener.spool.removal import StudyRemoval

IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
STUDY = "1.2.3"
START_NS = 2_000_000_000_000_000_000
DATA = b"\x08\x00\x50\x00SH\x08\x00content "


@pytest.fixture
def removal(tmp_path: Path) -> Iterator[StudyRemoval]:
    for folder in ("studies", "removing", "locks", "incoming"):
        (tmp_path / folder).mkdir()
    made = StudyRemoval(
        studies=tmp_path / "studies", removing=tmp_path / "removing", locks=tmp_path / "locks"
    )
    yield made
    made.close()


@pytest.fixture
def committer(tmp_path: Path, removal: StudyRemoval, monkeypatch: pytest.MonkeyPatch) -> Committer:
    """A committer whose clock stands still."""
    monkeypatch.setattr("listener.spool.commit.time.time_ns", lambda: START_NS)
    return Committer(folders=DurableFolders(tmp_path / "studies"), removal=removal)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "studies" / STUDY / "1.2.3.1" / f"1.2.3.1.5.{'a' * 64}.dcm"


@contextmanager
def arriving(folder: Path, data: bytes = DATA, syntax: str = EXPLICIT) -> Iterator[IncomingDataSet]:
    header = file_header(TransferInfo(syntax, "1.2.840.10008.5.1.4.1.1.7", "1.2.3.1.5", "A", "B"))
    with IncomingDataSet(folder / "incoming" / "part", header) as incoming:
        incoming.write(data)
        yield incoming


def commit(
    committer: Committer, folder: Path, path: Path, data: bytes = DATA, syntax: str = EXPLICIT
) -> tuple[bool, int]:
    with arriving(folder, data, syntax) as incoming:
        return committer.commit(incoming, path, study=STUDY, transfer_syntax_uid=syntax)


def test_a_repeat_has_the_time_of_the_first(
    committer: Committer, tmp_path: Path, path: Path
) -> None:
    assert commit(committer, tmp_path, path) == (True, START_NS)
    assert path.stat().st_mtime_ns == START_NS
    assert commit(committer, tmp_path, path) == (False, START_NS)
    assert path.read_bytes().endswith(DATA)


def test_times_grow_by_a_microsecond_while_the_clock_stands(
    committer: Committer, tmp_path: Path, path: Path
) -> None:
    times = [
        commit(committer, tmp_path, path.with_name(f"1.2.3.1.{n}.{'a' * 64}.dcm"))[1]
        for n in range(3)
    ]
    assert times == [START_NS, START_NS + 1000, START_NS + 2000]


def test_a_file_of_another_size_is_replaced(
    committer: Committer, tmp_path: Path, path: Path
) -> None:
    """The name holds the digest, so a file of another size under it was cut by a crash."""
    commit(committer, tmp_path, path)
    path.write_bytes(path.read_bytes()[:-1])
    assert commit(committer, tmp_path, path)[0]
    assert path.read_bytes().endswith(DATA)


def test_the_same_bytes_under_another_syntax_are_refused(
    committer: Committer, tmp_path: Path, path: Path
) -> None:
    commit(committer, tmp_path, path)
    with pytest.raises(InvalidInstanceError, match="another transfer syntax"):
        commit(committer, tmp_path, path, syntax=IMPLICIT)


def test_a_repeat_whose_first_is_removed_meanwhile_is_stored(
    committer: Committer,
    removal: StudyRemoval,
    tmp_path: Path,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    commit(committer, tmp_path, path)
    storing = removal.storing

    @contextmanager
    def removed_first(study: str) -> Iterator[None]:
        assert removal.remove(study, is_as_expected=lambda: True)
        with storing(study):
            yield

    monkeypatch.setattr(removal, "storing", removed_first)
    new, received_ns = commit(committer, tmp_path, path)
    assert new
    assert path.stat().st_mtime_ns == received_ns == START_NS + 1000


def test_a_file_that_is_removed_while_it_is_looked_at_is_not_stored(
    committer: Committer, tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(committer, tmp_path, path)

    def removed_first(found: Path) -> object:
        found.unlink()
        return read_header(found)

    monkeypatch.setattr(module, "read_header", removed_first)
    assert commit(committer, tmp_path, path)[0]
    assert path.exists()


def test_a_study_that_is_removed_after_its_folder_was_made_gets_a_new_folder(
    committer: Committer, removal: StudyRemoval, tmp_path: Path, path: Path
) -> None:
    commit(committer, tmp_path, path)
    assert removal.remove(STUDY, is_as_expected=lambda: True)
    other = path.with_name(f"1.2.3.1.6.{'b' * 64}.dcm")
    assert commit(committer, tmp_path, other)[0]
    assert other.exists()


def test_an_equal_file_that_appears_after_the_look_counts_as_the_first(
    committer: Committer, tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process stores the same between the look and the name."""
    earlier = START_NS - 5_000
    commit(committer, tmp_path, path)
    content = path.read_bytes()
    path.unlink()
    is_stored = module._is_stored
    looks: list[bool] = []

    def stored_after_the_first_look(found: Path, syntax: str, *, size: int) -> bool:
        answer = is_stored(found, syntax, size=size)
        if not looks:
            found.write_bytes(content)
            os.utime(found, ns=(earlier, earlier))
        looks.append(answer)
        return answer

    monkeypatch.setattr(module, "_is_stored", stored_after_the_first_look)
    assert commit(committer, tmp_path, path) == (False, earlier)
    assert looks == [False, True]
