"""Work that repeats goes on after an error, and stops when it is told to."""

from __future__ import annotations

import threading

from structlog.testing import capture_logs

from listener.lifecycle import RepeatingTimer


def test_an_error_ends_one_turn_and_not_the_work() -> None:
    turns = 0
    three = threading.Event()

    def work() -> None:
        nonlocal turns
        turns += 1
        if turns == 3:
            three.set()
        raise OSError("the disk is away")

    repeating = RepeatingTimer(work, name="sweep", every_s=0.01)
    with capture_logs() as logs:
        repeating.start()
        assert three.wait(60)
        repeating.stop()
    assert {(entry["event"], entry["work"]) for entry in logs} == {("timer.call_failed", "sweep")}
    made = turns
    assert not threading.Event().wait(0.1)
    assert turns == made


def test_it_can_be_started_again() -> None:
    done = threading.Event()
    repeating = RepeatingTimer(done.set, name="again", every_s=0.01)
    for _ in range(2):
        done.clear()
        repeating.start()
        assert done.wait(60)
        repeating.stop()


def test_nothing_is_done_before_its_time() -> None:
    turns: list[int] = []
    repeating = RepeatingTimer(lambda: turns.append(1), name="later", every_s=3600)
    repeating.start()
    repeating.stop()
    assert turns == []
