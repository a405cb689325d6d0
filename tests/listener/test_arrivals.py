"""How often the subscriber reader of a study."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path

from listener.arrivals import Arrivals
from listener.spool import StoreReceipt


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def instance(study: str = "1.2.3", *, new: bool = True, second: int = 0) -> StoreReceipt:
    return StoreReceipt(
        study, "1.2.3.1", "1.2.3.1.1", "1.2", "1.2", "MODALITY", "00", 1, Path("x"),
        datetime(2026, 1, 1, second=second, tzinfo=UTC), new,
    )  # fmt: skip


def make(interval: float = 5.0):
    told, clock = [], Clock()
    return Arrivals(told.append, interval, clock=clock), told, clock


def test_the_first_instance_is_told_at_once_and_the_rest_once_per_interval():
    arrivals, told, clock = make()
    for number in range(100):
        clock.now = number * 0.1
        arrivals.stored(instance(second=number % 60))
        arrivals.tick()
    assert [activity.instances for activity in told] == [1, 50]
    clock.now = 15.0
    arrivals.tick()
    assert sum(activity.instances for activity in told) == 100
    assert told[-1].last_received_at.second == 39


def test_a_quiet_study_is_forgotten_and_its_next_instance_is_told_at_once():
    arrivals, told, clock = make()
    arrivals.stored(instance())
    assert arrivals.open_studies == 1
    clock.now = 6.0
    arrivals.tick()
    assert arrivals.open_studies == 0
    arrivals.stored(instance())
    assert len(told) == 2


def test_a_flush_tells_what_is_left_without_waiting():
    arrivals, told, _ = make()
    for _ in range(3):
        arrivals.stored(instance("1.2.3"))
        arrivals.stored(instance("1.2.4"))
    arrivals.flush(["1.2.3"])
    assert [(activity.study_instance_uid, activity.instances) for activity in told] == [
        ("1.2.3", 1), ("1.2.4", 1), ("1.2.3", 2),
    ]  # fmt: skip
    arrivals.flush()
    arrivals.flush()
    assert len(told) == 4


def test_a_duplicate_is_told_as_a_duplicate():
    arrivals, told, _ = make()
    arrivals.stored(instance(new=False))
    assert (told[0].instances, told[0].duplicates) == (0, 1)


def test_what_a_failing_subscriber_missed_is_told_again():
    told, clock = [], Clock()

    def subscriber(activity):
        told.append(activity.instances)
        if len(told) == 1:
            raise OSError("the database is away")

    arrivals = Arrivals(subscriber, 5.0, clock=clock)
    arrivals.stored(instance())
    clock.now = 5.0
    arrivals.tick()
    assert told == [1, 1]
    clock.now = 11.0
    arrivals.tick()
    assert arrivals.open_studies == 0


def test_nothing_is_lost_or_told_twice_between_many_threads():
    told = []
    lock = threading.Lock()

    def subscriber(activity):
        with lock:
            told.append(activity)

    with Arrivals(subscriber, 0.01) as arrivals:
        threads = [
            threading.Thread(target=lambda: [arrivals.stored(instance()) for _ in range(500)])
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sum(activity.instances for activity in told) == 2000
    assert len(told) < 1000
