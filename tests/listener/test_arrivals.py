"""When the subscriber hears of a study, and that no sender ever waits for the subscriber."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path

from structlog.testing import capture_logs

from listener import Arrivals, AssociationEnd, StoreReceipt, StudyActivity, store
from listener.errors import SubscriberError
from tests.conftest import WAIT_LIMIT_S, wait_until
from tests.listener.conftest import peer_of

NEVER_S = 3600.0


def instance(study: str = "1.2.3", *, new: bool = True, second: int = 0) -> StoreReceipt:
    return StoreReceipt(
        study, "1.2.3.1", "1.2.3.1.1", "1.2", "1.2", "MODALITY", "00", 1, Path("x"),
        datetime(2026, 1, 1, second=second, tzinfo=UTC), new,
    )  # fmt: skip


def end_of(*studies: str) -> AssociationEnd:
    return AssociationEnd("0123", "ct1", "MODALITY", frozenset(studies), released=True)


def counts(reported: list[StudyActivity]) -> list[tuple[str, int]]:
    return [(activity.study_instance_uid, activity.instances) for activity in reported]


def test_the_first_instance_is_reported_at_once_and_the_rest_after_the_interval():
    reported: list[StudyActivity] = []
    with Arrivals(reported.append, min_interval_s=NEVER_S) as arrivals:
        arrivals.stored(instance())
        wait_until(lambda: len(reported) == 1, "the first report")
        for second in range(1, 50):
            arrivals.stored(instance(second=second))
        assert len(reported) == 1
    assert counts(reported) == [("1.2.3", 1), ("1.2.3", 49)]
    assert reported[-1].last_received_at.second == 49


def test_later_instances_are_reported_when_the_interval_is_over():
    reported: list[StudyActivity] = []
    with Arrivals(reported.append, min_interval_s=0.2) as arrivals:
        arrivals.stored(instance())
        wait_until(lambda: len(reported) == 1, "the first report")
        arrivals.stored(instance())
        wait_until(lambda: len(reported) == 2, "the second report")


def test_a_quiet_study_is_forgotten_and_its_next_instance_is_reported_at_once():
    reported: list[StudyActivity] = []
    with Arrivals(reported.append, min_interval_s=0.05) as arrivals:
        arrivals.stored(instance())
        wait_until(lambda: len(reported) == 1, "the first report")
        wait_until(lambda: arrivals.open_studies == 0, "the study to be forgotten")
        arrivals.stored(instance())
        wait_until(lambda: len(reported) == 2, "the next report")


def test_a_duplicate_is_reported_as_a_duplicate():
    reported: list[StudyActivity] = []
    with Arrivals(reported.append) as arrivals:
        arrivals.stored(instance(new=False))
    assert (reported[0].instances, reported[0].duplicates) == (0, 1)


def test_a_report_that_raises_is_repeated_with_all_that_came_since():
    reported: list[int] = []

    def subscriber(activity: StudyActivity) -> None:
        reported.append(activity.instances)
        if len(reported) == 1:
            arrivals.stored(instance())
            raise OSError("the database is away")

    arrivals = Arrivals(subscriber, min_interval_s=0.05)
    with arrivals:
        arrivals.stored(instance())
        wait_until(lambda: len(reported) == 2, "the second try")
        assert reported == [1, 2]
        wait_until(lambda: arrivals.open_studies == 0, "the study to be forgotten")
    assert reported == [1, 2]


def test_an_associations_end_comes_after_all_instances_of_its_studies_and_of_no_others():
    heard: list[object] = []
    arrivals = Arrivals(heard.append, min_interval_s=NEVER_S, on_association_end=heard.append)
    end = end_of("1.2.3")
    with arrivals:
        for study in ("1.2.3", "1.2.4"):
            arrivals.stored(instance(study))
        wait_until(lambda: len(heard) == 2, "the first reports")
        for study in ("1.2.3", "1.2.4"):
            arrivals.stored(instance(study))
        arrivals.association_ended(end)
        wait_until(lambda: len(heard) == 4, "the end")
        assert isinstance(heard[2], StudyActivity)
        assert heard[2].study_instance_uid == "1.2.3"
        assert heard[3] is end


def test_an_end_waits_for_a_report_that_raises_and_is_repeated_if_it_raises_itself():
    heard: list[str] = []

    def on_activity(_activity: StudyActivity) -> None:
        heard.append("activity")
        if heard.count("activity") == 1:
            raise OSError("the database is away")

    def on_end(_end: AssociationEnd) -> None:
        heard.append("end")
        if heard.count("end") == 1:
            raise OSError("the database is away again")

    with Arrivals(on_activity, min_interval_s=0.05, on_association_end=on_end) as arrivals:
        arrivals.stored(instance())
        arrivals.association_ended(end_of("1.2.3"))
        wait_until(lambda: heard.count("end") == 2, "the second try")
    assert heard == ["activity", "activity", "end", "end"]


def test_stopping_reports_everything_that_is_left():
    heard: list[object] = []
    arrivals = Arrivals(heard.append, min_interval_s=NEVER_S, on_association_end=heard.append)
    arrivals.stored(instance())
    arrivals.association_ended(end_of("1.2.3"))
    arrivals.stored(instance("1.2.4"))
    arrivals.start()
    arrivals.stop()
    assert len(heard) == 3
    arrivals.stop()
    assert len(heard) == 3


def test_nothing_is_lost_or_reported_twice_between_many_threads():
    reported: list[StudyActivity] = []
    with Arrivals(reported.append, min_interval_s=0.01) as arrivals:

        def store_500() -> None:
            for _ in range(500):
                arrivals.stored(instance())

        threads = [threading.Thread(target=store_500) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sum(activity.instances for activity in reported) == 2000
    assert len(reported) < 1000


def test_a_subscriber_that_blocks_delays_no_answer_to_a_sender(start_scp, spool, make_ct):
    go_on = threading.Event()
    reported: list[StudyActivity] = []

    def block(activity: StudyActivity) -> None:
        assert go_on.wait(WAIT_LIMIT_S)
        reported.append(activity)

    with Arrivals(block) as arrivals:
        scp = start_scp(arrivals.stored, ended=arrivals.association_ended)
        try:
            for _ in range(2):  # the end of the first association is held up, too
                outcomes = store(peer_of(scp), [make_ct("1.2.3", "1.2.3.1") for _ in range(3)])
                assert [outcome.status for outcome in outcomes] == [0, 0, 0]
            wait_until(lambda: scp.open_associations == 0, "the associations to end")
            assert reported == []
        finally:
            go_on.set()
    assert sum(activity.instances for activity in reported) == 6


def test_a_subscriber_that_says_why_it_failed_is_logged_by_its_text_and_asked_again():
    calls = []

    def fails_once(activity: StudyActivity) -> None:
        calls.append(activity)
        if len(calls) == 1:
            raise SubscriberError("the database is away")

    with capture_logs() as logs, Arrivals(fails_once, min_interval_s=0.01) as arrivals:
        arrivals.stored(instance())
        wait_until(lambda: len(calls) == 2, "the second report")
    (event,) = logs
    assert event["event"] == "study.report_failed"
    assert event["reason"] == "the database is away"
    assert event["log_level"] == "warning"
    assert "exc_info" not in event
