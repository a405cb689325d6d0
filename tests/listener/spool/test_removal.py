"""A study leaves the spool whole, and never with an instance that has just been acknowledged."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from listener.errors import InvalidInstanceError, InvalidUIDError, SpoolWriteError
from listener.spool import Spool, content_digest
from listener.spool.removal import StudyRemoval
from tests.listener.conftest import Received, received


def test_a_study_goes_with_everything_it_has(spool, make_ct):
    for _ in range(3):
        ct = received(make_ct("1.2.3", "1.2.3.1"))
        spool.store(ct.data, ct.transfer)
    other = received(make_ct("1.2.4", "1.2.4.1"))
    spool.store(other.data, other.transfer)
    assert spool.study_bytes("1.2.3") > 3 * 30_000
    assert spool.remove_study("1.2.3", is_as_expected=lambda: True)
    assert list(spool.studies()) == ["1.2.4"]
    assert spool.study_bytes("1.2.3") == 0
    assert not spool.remove_study("1.2.3", is_as_expected=lambda: True)


def test_a_study_that_has_changed_stays(spool, make_ct):
    first, late = received(make_ct("1.2.3", "1.2.3.1")), received(make_ct("1.2.3", "1.2.3.1"))
    spool.store(first.data, first.transfer)
    digest = content_digest(spool.instances("1.2.3"))
    spool.store(late.data, late.transfer)
    assert not spool.remove_study(
        "1.2.3", is_as_expected=lambda: content_digest(spool.instances("1.2.3")) == digest
    )
    assert len(spool.instances("1.2.3")) == 2


def test_a_removed_study_can_be_sent_again(spool, make_ct):
    ct = received(make_ct("1.2.3", "1.2.3.1"))
    spool.store(ct.data, ct.transfer)
    assert spool.remove_study("1.2.3", is_as_expected=lambda: True)
    assert spool.store(ct.data, ct.transfer).new
    assert len(spool.instances("1.2.3")) == 1


def test_a_repeat_whose_study_is_removed_at_that_moment_is_stored_anew(spool, make_ct, monkeypatch):
    ct = received(make_ct("1.2.3", "1.2.3.1"))
    spool.store(ct.data, ct.transfer)
    storing = StudyRemoval.storing

    def removed_just_before(removal, study):
        monkeypatch.setattr(StudyRemoval, "storing", storing)
        assert removal.remove(study, is_as_expected=lambda: True)
        return storing(removal, study)

    monkeypatch.setattr(StudyRemoval, "storing", removed_just_before)
    assert spool.store(ct.data, ct.transfer).new
    (kept,) = spool.instances("1.2.3")
    assert kept.path.exists()


def test_only_a_uid_names_a_study_to_be_removed(spool):
    with pytest.raises(InvalidUIDError):
        spool.remove_study("../quarantine", is_as_expected=lambda: True)


def test_what_a_crash_left_of_a_removal_is_gone_at_the_next_start(spool, tmp_path, make_ct):
    ct = received(make_ct("1.2.3", "1.2.3.1"))
    stored = spool.store(ct.data, ct.transfer)
    stored.path.parents[1].rename(spool.root / "removing" / "1.2.3")
    spool.close()
    with Spool(spool.root) as again:
        assert list((again.root / "removing").iterdir()) == []
        assert list(again.studies()) == []


def test_no_acknowledged_instance_is_lost_to_a_removal_at_the_same_moment(spool, make_ct):
    items: list[Received] = [received(make_ct("1.2.3", "1.2.3.1")) for _ in range(60)]
    removed: list[set[str]] = []
    one_removed, done = threading.Event(), threading.Event()

    def present() -> set[str]:
        return {version.sop_instance_uid for version in spool.versions("1.2.3")}

    def remove() -> None:
        while not done.is_set():
            before = present()
            if before and spool.remove_study(
                "1.2.3", is_as_expected=lambda seen=before: present() == seen
            ):
                removed.append(before)
                one_removed.set()

    acknowledged: set[str] = set()

    def send(item: Received) -> None:
        try:
            acknowledged.add(spool.store(item.data, item.transfer).sop_instance_uid)
        except SpoolWriteError:  # told to the sender, who sends again
            acknowledged.add(spool.store(item.data, item.transfer).sop_instance_uid)

    remover = threading.Thread(target=remove)
    remover.start()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(send, items[:30]))
        # Between the bursts nothing changes, so that a busy machine removes something, too.
        assert one_removed.wait(60)
        list(pool.map(send, items[30:]))
    done.set()
    remover.join()
    left = {instance.sop_instance_uid for instance in spool.instances("1.2.3")}
    assert len(acknowledged) == 60
    # What was removed had been seen with its content before; nothing else may be missing.
    assert left | set().union(*removed) >= acknowledged


def test_quarantine_is_cleared_by_age(spool, make_ct):
    ct = received(make_ct("1.2.3", "1.2.3.1"))
    with pytest.raises(InvalidInstanceError):
        spool.store(ct.data[:-10], ct.transfer)
    now = datetime.now(UTC)
    assert spool.clear_quarantine(before=now - timedelta(hours=1)) == 0
    assert len(list(spool.quarantined())) == 1
    assert spool.clear_quarantine(before=now + timedelta(hours=1)) == 1
    assert list((spool.root / "quarantine").iterdir()) == []
