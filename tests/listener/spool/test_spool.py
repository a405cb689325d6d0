"""What the spool promises about the disk."""

from __future__ import annotations

import dataclasses
import errno
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from listener.errors import InvalidInstanceError, StorageFullError
from listener.spool import Spool, content_digest
from tests.listener.conftest import bundled, received


def incoming(spool: Spool) -> list[Path]:
    return list((spool.root / "incoming").iterdir())


def test_a_stored_instance_says_what_it_is_and_where(spool, make_ct):
    ct = received(make_ct("1.2.3", "1.2.3.1", sop="1.2.3.1.5"))
    stored = spool.store(ct.data, ct.transfer)
    assert stored.new
    assert (stored.study_instance_uid, stored.series_instance_uid) == ("1.2.3", "1.2.3.1")
    assert stored.path == spool.root / "studies/1.2.3/1.2.3.1" / f"1.2.3.1.5.{stored.digest}.dcm"
    assert stored.size == len(ct.data)
    (found,) = spool.instances("1.2.3")
    assert (found.sop_instance_uid, found.digest) == ("1.2.3.1.5", stored.digest)
    assert found.received_at == stored.received_at
    assert incoming(spool) == []


def test_the_same_uid_with_other_content_overwrites_nothing_and_the_newest_is_current(
    spool, make_ct
):
    first, second = (
        received(make_ct("1.2.3", "1.2.3.1", sop="1.2.3.1.5", shade=shade)) for shade in (1, 2)
    )
    old = spool.store(first.data, first.transfer)
    new = spool.store(second.data, second.transfer)
    assert old.path.exists()
    assert new.new
    assert [version.digest for version in spool.versions("1.2.3")] == [old.digest, new.digest]
    assert [instance.digest for instance in spool.instances("1.2.3")] == [new.digest]


def test_which_version_is_current_can_be_decided_by_another_policy(tmp_path, make_ct):
    def oldest(versions):
        return min(versions, key=lambda version: version.received_at)

    with Spool(tmp_path / "other", choose_current=oldest) as spool:
        hashes = []
        for shade in (1, 2):
            ct = received(make_ct("1.2.3", "1.2.3.1", sop="1.2.3.1.5", shade=shade))
            hashes.append(spool.store(ct.data, ct.transfer).digest)
        assert [instance.digest for instance in spool.instances("1.2.3")] == hashes[:1]


def test_a_clock_that_is_set_back_does_not_make_an_old_version_current(spool, make_ct, monkeypatch):
    times = iter((2_000_000_000_000_000_000, 1_000_000_000_000_000_000))
    monkeypatch.setattr("listener.spool.commit.time.time_ns", lambda: next(times))
    for shade in (1, 2):
        ct = received(make_ct("1.2.3", "1.2.3.1", sop="1.2.3.1.5", shade=shade))
        last = spool.store(ct.data, ct.transfer)
    assert [instance.digest for instance in spool.instances("1.2.3")] == [last.digest]


def test_the_content_digest_depends_on_content_and_not_on_order(tmp_path, make_ct):
    cts = [received(make_ct("1.2.3", "1.2.3.1")) for _ in range(3)]
    digests = set()
    for number, order in enumerate((cts, cts[::-1])):
        with Spool(tmp_path / str(number)) as spool:
            for ct in order:
                spool.store(ct.data, ct.transfer)
            digests.add(content_digest(spool.instances("1.2.3")))
            ct = received(make_ct("1.2.3", "1.2.3.1"))
            spool.store(ct.data, ct.transfer)
            assert content_digest(spool.instances("1.2.3")) not in digests
    assert len(digests) == 1


def test_a_damaged_file_is_not_taken_for_a_duplicate(spool, make_ct):
    ct = received(make_ct("1.2.3", "1.2.3.1"))
    stored = spool.store(ct.data, ct.transfer)
    whole = stored.path.read_bytes()
    stored.path.write_bytes(whole[:-100])
    assert spool.store(ct.data, ct.transfer).new
    assert stored.path.read_bytes() == whole


def test_a_duplicate_from_another_sender_is_still_a_duplicate(spool, make_ct):
    ct = received(make_ct("1.2.3", "1.2.3.1"))
    spool.store(ct.data, ct.transfer)
    elsewhere = dataclasses.replace(ct.transfer, calling_ae_title="OTHERSCANNER")
    assert not spool.store(ct.data, elsewhere).new


def test_the_same_instance_from_many_threads_is_new_once(spool, make_ct):
    ct = received(make_ct("1.2.3", "1.2.3.1"))
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: spool.store(ct.data, ct.transfer).new, range(16)))
    assert results.count(True) == 1
    assert incoming(spool) == []


@pytest.mark.parametrize(
    "uid", ["../../../../etc", "/etc/passwd.d", "1.2/../../../x", "..", "1..2", "1.2.", "1.2\n3.4"]
)
def test_a_uid_that_would_leave_the_spool_is_refused(uid, spool, make_ct):
    genuine = "2." + "7" * max(len(uid) - 2, 1)
    ct = received(make_ct(genuine, "1.9.1"))
    padded = genuine.encode() + b"\0" * (len(genuine) % 2)
    assert ct.data.count(padded) == 1
    data = ct.data.replace(padded, uid.encode().ljust(len(padded), b"\0"), 1)
    with pytest.raises(InvalidInstanceError, match="StudyInstanceUID is not a valid UID"):
        spool.store(data, ct.transfer)
    assert list(spool.studies()) == []
    assert {path.name for path in spool.root.parent.iterdir()} == {"spool", "made"}
    assert len(list(spool.quarantined())) == 1


def test_an_announced_uid_that_would_leave_the_spool_is_refused(spool, make_ct):
    ct = received(make_ct("1.2.3", "1.2.3.1"))
    announced = dataclasses.replace(ct.transfer, sop_instance_uid="../../escaped")
    with pytest.raises(InvalidInstanceError):
        spool.store(ct.data, announced)
    (entry,) = spool.quarantined()
    assert entry.sop_instance_uid == ""
    assert entry.path.parent == spool.root / "quarantine"


def test_the_same_bytes_under_another_transfer_syntax_are_not_taken_for_a_repeat(spool):
    mr = received(bundled("MR_small_RLE.dcm"))
    first = spool.store(mr.data, mr.transfer)
    other = dataclasses.replace(mr.transfer, transfer_syntax_uid="1.2.840.10008.1.2.4.90")
    with pytest.raises(InvalidInstanceError, match="another transfer syntax"):
        spool.store(mr.data, other)
    (version,) = spool.versions(first.study_instance_uid)
    assert version.path == first.path


@pytest.mark.parametrize("padding", [b"\0", b" ", b"\0\0"])
def test_padding_after_a_uid_is_not_part_of_it(padding, spool, make_ct):
    uid = "1.2.3.4" + "5" * (3 - len(padding))
    ct = received(make_ct("1.2.3.4555"[:10], "1.2.9.1"))
    data = ct.data.replace(b"1.2.3.4555", uid.encode() + padding, 1)
    assert spool.store(data, ct.transfer).study_instance_uid == uid


def test_a_study_uid_that_is_no_uid_can_not_be_asked_for(spool):
    with pytest.raises(InvalidInstanceError):
        spool.instances("../incoming")


def test_what_was_being_written_at_a_crash_is_removed_at_start_and_nothing_else(tmp_path, make_ct):
    root = tmp_path / "spool"
    ct = received(make_ct("1.2.3", "1.2.3.1"))
    with Spool(root) as spool:
        kept = spool.store(ct.data, ct.transfer).path
        (root / "incoming" / "0123.part").write_bytes(b"half")
        with Spool(root):
            assert len(incoming(spool)) == 1, "another spool object may be writing it"
    with Spool(root) as spool:
        assert incoming(spool) == []
        assert kept.exists()


def test_five_thousand_instances_are_listed_without_opening_a_file(spool, monkeypatch):
    folder = spool.root / "studies/1.2.3/1.2.3.1"
    folder.mkdir(parents=True)
    for number in range(5000):
        (folder / f"1.2.3.1.{number}.{number:064x}.dcm").touch()
    monkeypatch.setattr(Path, "open", lambda *_: pytest.fail("opened a file"))
    instances = spool.instances("1.2.3")
    assert len(instances) == 5000
    assert len({instance.sop_instance_uid for instance in instances}) == 5000


def test_a_study_removed_from_disk_comes_back_when_it_is_sent_again(spool, make_ct):
    import shutil

    ct = received(make_ct("1.2.3", "1.2.3.1"))
    spool.store(ct.data, ct.transfer)
    shutil.rmtree(spool.root / "studies/1.2.3")
    assert spool.store(ct.data, ct.transfer).path.exists()


def test_a_write_that_fails_leaves_nothing_behind(spool, make_ct, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "no space")

    ct = received(make_ct("1.2.3", "1.2.3.1"))
    with monkeypatch.context() as patch:
        patch.setattr("listener.spool.durable.os.fsync", full)
        with pytest.raises(StorageFullError):
            spool.store(ct.data, ct.transfer)
    assert incoming(spool) == []
    assert spool.instances("1.2.3") == ()
    assert spool.store(ct.data, ct.transfer).new
