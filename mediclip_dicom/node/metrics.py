"""Metrics for Prometheus: counts, queues and space; never data of a patient."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from listener import ListenerStatistics, Spool
from mediclip_dicom.database import Delivery, DeliveryState, ResultFile, Run, RunState
from mediclip_dicom.studies import WAITING_RUNS

REJECTIONS = (
    "calling_ae", "called_ae", "address", "tls_needed", "certificate_host", "peer_limit",
    "disk_low", "other",
)  # fmt: skip
REFUSALS = ("invalid", "mismatch", "resources", "too_large")


class ListenerStatus(Protocol):
    """State of a listener, in this process or in several."""

    @property
    def statistics(self) -> ListenerStatistics:
        """Counts since the start."""

    @property
    def open_associations(self) -> int:
        """Associations that are open now."""

    @property
    def is_listening(self) -> bool:
        """Whether every port is being listened on."""

    @property
    def is_disk_low(self) -> bool:
        """Whether instances are refused because the disk is low."""

    @property
    def port(self) -> int | None:
        """The TCP port without TLS."""

    @property
    def tls_port(self) -> int | None:
        """The TCP port for TLS."""


class NodeCollector(Collector):
    """Collector that reads the numbers when it is scraped."""

    def __init__(
        self,
        listener: ListenerStatus | None,
        spool: Spool,
        sessions: sessionmaker[Session],
    ) -> None:
        self._listener = listener
        self._spool = spool
        self._sessions = sessions

    def collect(self) -> Iterator[Metric]:
        """The metrics, as the library's registry wants them."""
        if self._listener is not None:
            yield from _network(self._listener)
        space = self._spool.space()
        yield _gauge("spool_free_bytes", "Free bytes of the spool's file system.", space.free)
        yield _gauge("spool_size_bytes", "Size of the spool's file system.", space.total)
        with self._sessions() as session:
            yield from _runs(session)
            yield from _deliveries(session)


def _network(listener: ListenerStatus) -> Iterator[Metric]:
    counts = listener.statistics
    yield _gauge("associations_open", "Associations at the moment.", listener.open_associations)
    yield _gauge(
        "disk_low", "1 while instances are refused for want of space.", listener.is_disk_low
    )
    yield _counter("associations", "Associations accepted.", counts.associations)
    yield _counter("associations_aborted", "Associations without a release.", counts.aborted)
    yield _counter("tls_failures", "TLS handshakes that failed.", counts.tls_failures)
    yield _counter("connections_closed", "Connections closed at once.", counts.connections_closed)
    rejections = CounterMetricFamily(
        "mediclip_associations_rejected", "Associations rejected.", labels=["reason"]
    )
    for reason in REJECTIONS:
        rejections.add_metric([reason], getattr(counts, f"rejected_{reason}"))
    yield rejections
    instances = CounterMetricFamily(
        "mediclip_instances", "Instances received, by what was made of them.", labels=["outcome"]
    )
    instances.add_metric(["stored"], counts.stored)
    instances.add_metric(["duplicate"], counts.duplicates)
    for reason in REFUSALS:
        instances.add_metric([f"refused_{reason}"], getattr(counts, f"refused_{reason}"))
    yield instances
    yield _counter("received_bytes", "Bytes of instances stored.", counts.stored_bytes)
    yield _counter("instances_delayed", "Answers delayed by a rate.", counts.delayed)
    yield _counter("commitment_requests", "Storage commitment requests.", counts.commitments)
    yield _counter("queries", "C-FIND requests answered.", counts.queries)


def _runs(session: Session) -> Iterator[Metric]:
    states = GaugeMetricFamily("mediclip_runs", "Study runs by state.", labels=["state"])
    rows = session.execute(select(Run.state, func.count()).group_by(Run.state))
    counts = {row[0]: row[1] for row in rows}
    for state in RunState:
        states.add_metric([state.value], counts.get(state, 0))
    yield states
    oldest = session.scalar(select(func.min(Run.created_at)).where(Run.state.in_(WAITING_RUNS)))
    yield _gauge("oldest_waiting_run_seconds", "Age of the oldest run not written.", _age(oldest))


def _deliveries(session: Session) -> Iterator[Metric]:
    found = GaugeMetricFamily(
        "mediclip_deliveries", "Result objects by destination and state.",
        labels=["destination", "state"],
    )  # fmt: skip
    rows = session.execute(
        select(Delivery.destination, Delivery.state, func.count()).group_by(
            Delivery.destination, Delivery.state
        )
    )
    for destination, state, number in rows:
        found.add_metric([destination, state.value], number)
    yield found
    oldest = session.execute(
        select(Delivery.destination, func.min(Run.created_at))
        .join(Delivery.result)
        .join(ResultFile.run)
        .where(Delivery.state == DeliveryState.PENDING)
        .group_by(Delivery.destination)
    )
    ages = GaugeMetricFamily(
        "mediclip_oldest_pending_delivery_seconds", "Age of the oldest delivery that waits.",
        labels=["destination"],
    )  # fmt: skip
    for destination, since in oldest:
        ages.add_metric([destination], _age(since))
    yield ages


def _age(since: datetime | None) -> float:
    return 0.0 if since is None else (datetime.now(UTC) - since).total_seconds()


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"mediclip_{name}", text, value=float(value))


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"mediclip_{name}", text, value=value)
