"""Workflows of a study on the durable engine, and its queues.

A study that has gone quiet is gathered (workflow `gather`); gathering writes down a revision,
routes it, and enqueues the analysis (`analyze`) under the run's own id, so that a repeat is the
same workflow; the analysis enqueues one delivery (`deliver`) per destination, each destination on
a queue of its own, so that none blocks another.
"""

from collections.abc import Callable, Sequence
from typing import Any

import structlog
from dbos import DBOS, DBOSConfig, SetEnqueueOptions, SetWorkflowID
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from mediclip_dicom.delivery import Confirming, Delivering
from mediclip_dicom.engine.attempts import AttemptResult, pause_s, try_once
from mediclip_dicom.engine.library_log import forward_library_log
from mediclip_dicom.engine.names import (
    ANALYZE,
    ANALYZE_QUEUE,
    APPLICATION_NAME,
    ASK_COMMITMENT,
    CONFIRM,
    DELIVER,
    DELIVER_ONCE,
    FAIL,
    FINISH,
    GATHER,
    GATHER_QUEUE,
    GIVE_UP_DELIVERY,
    PLAN_DELIVERIES,
    ROUTE,
    SCORE,
    TAKE_REVISION,
    TASK_VERSIONS,
    WORKFLOW_VERSION,
    WRITE,
    confirmation_queue,
    delivery_id,
    delivery_queue,
    next_attempt_id,
)
from mediclip_dicom.engine.sqlite import check_sqlite
from mediclip_dicom.errors import DatabaseError, StudyNotFoundError
from mediclip_dicom.settings import Settings
from mediclip_dicom.studies import Intake, Scoring, logged_as, mark_failed

log = structlog.get_logger()

CONCURRENT_GATHERINGS = 4
CONCURRENT_QUESTIONS = 16
POLLING_INTERVAL_S = 0.5
STOP_LIMIT_S = 5
STEP_ATTEMPTS = 4
STEP_FIRST_RETRY_S = 2.0


class WorkflowEngine:
    """Engine that runs the steps of every study, and repeats them after a crash.

    There is one per process: the engine below keeps one registry per process.

    Args:
        settings: the configuration.
        sessions: of the application's database.
        executor_id: names this process in the engine's tables; never used by another process, or
            both run the same workflows.
        predecessors: executor ids of processes that are dead for certain; their unfinished
            workflows are taken over at the start.
    """

    def __init__(
        self,
        settings: Settings,
        sessions: sessionmaker[Session],
        *,
        executor_id: str,
        predecessors: Sequence[str] = (),
        intake: Intake,
        scoring: Scoring,
        delivering: Delivering,
        confirming: Confirming,
    ) -> None:
        self._settings = settings
        self._sessions = sessions
        self._intake = intake
        self._scoring = scoring
        self._delivering = delivering
        self._confirming = confirming
        self._predecessors = [name for name in predecessors if name != executor_id]
        forward_library_log()
        DBOS(config=_engine_config(settings, executor_id))
        self._gather = DBOS.workflow(name=GATHER)(lambda study: self._run_gather(study))
        self._analyze = DBOS.workflow(name=ANALYZE)(self._about_run(self._run_analyze))
        self._deliver = DBOS.workflow(name=DELIVER)(self._about_run(self._run_deliver))
        self._confirm = DBOS.workflow(name=CONFIRM)(self._about_run(self._run_confirm))

    def start(self) -> None:
        """Start the engine; unfinished workflows go on from their last finished step.

        Raises:
            DatabaseError: The workflow database can't be used.
        """
        check_sqlite(self._settings.workflow_database_url)
        try:
            DBOS.launch()
        except (SQLAlchemyError, OSError) as error:
            url = make_url(self._settings.workflow_database_url)
            raise DatabaseError(
                f"the workflow database at {url.render_as_string(hide_password=True)} can't be "
                f"used: {getattr(error, 'orig', None) or error}; see [database] workflow_url"
            ) from error
        queues = {
            GATHER_QUEUE: CONCURRENT_GATHERINGS,
            ANALYZE_QUEUE: self._settings.analysis.concurrent_studies,
        }
        for destination in self._settings.destinations:
            queues[delivery_queue(destination.name)] = self._settings.delivery.concurrent_studies
            queues[confirmation_queue(destination.name)] = CONCURRENT_QUESTIONS
        for name, concurrency in queues.items():
            DBOS.register_queue(
                name,
                worker_concurrency=concurrency,
                polling_interval_sec=POLLING_INTERVAL_S,
                on_conflict="always_update",
            )
        if self._predecessors:
            # Unlike resuming by the client, this keeps a workflow's queue and count of recoveries.
            taken = DBOS._recover_pending_workflows(self._predecessors)
            log.info("workflows.recovered", count=len(taken))

    def stop(self) -> None:
        """Stop taking up work; a step that does not end soon runs again at the next start."""
        DBOS.destroy(destroy_registry=True, workflow_completion_timeout_sec=STOP_LIMIT_S)

    def _about_run(self, workflow: Callable[..., None]) -> Callable[..., None]:
        def about_run(run_id: str, *arguments: Any) -> None:
            with logged_as(self._sessions, run_id):
                workflow(run_id, *arguments)

        return about_run

    # -- the workflows: only the order of steps, every effect inside a step ------------------

    def _run_gather(self, study_instance_uid: str) -> None:
        with structlog.contextvars.bound_contextvars(study_uid=study_instance_uid):
            try:
                revision_id = _step(TAKE_REVISION, self._intake.take_revision, study_instance_uid)
            except StudyNotFoundError as error:
                log.warning("study.gone", reason=str(error))
                return
            run_id = _step(ROUTE, self._intake.route, revision_id)
        with SetWorkflowID(run_id):
            DBOS.enqueue_workflow(ANALYZE_QUEUE, self._analyze, run_id)

    def _run_analyze(self, run_id: str) -> None:
        try:
            version_ids = _step(TASK_VERSIONS, self._scoring.task_versions, run_id)
            if not version_ids:
                return
            for version_id in version_ids:
                _step(SCORE, self._scoring.score, run_id, version_id)
                _step(WRITE, self._scoring.write, run_id, version_id)
            destinations = _step(PLAN_DELIVERIES, self._delivering.plan_deliveries, run_id)
        except Exception as error:  # noqa: BLE001  written down, in the database and the log
            # Not raised on: the engine would log it, and others' words may be a patient's.
            _step(FAIL, mark_failed, self._sessions, run_id, error)
            return
        for destination in destinations:
            with SetWorkflowID(delivery_id(run_id, destination)):
                DBOS.enqueue_workflow(
                    delivery_queue(destination), self._deliver, run_id, destination
                )

    def _run_deliver(self, run_id: str, destination: str, number: int = 1) -> None:
        ended = try_once(DELIVER_ONCE, self._delivering.deliver, run_id, destination)
        if ended is AttemptResult.LATER and self._enqueue_next(
            self._deliver, delivery_queue(destination), run_id, destination, number
        ):
            return
        if ended is not AttemptResult.DONE:
            _step(GIVE_UP_DELIVERY, self._delivering.give_up_delivery, run_id, destination)
        _step(FINISH, self._delivering.finish, run_id)
        if ended is AttemptResult.DONE and self._settings.destination(destination).commitment:
            # On a queue of its own: who does not answer must not keep others from being sent.
            DBOS.enqueue_workflow(
                confirmation_queue(destination), self._confirm, run_id, destination
            )

    def _run_confirm(self, run_id: str, destination: str, number: int = 1) -> None:
        ended = try_once(ASK_COMMITMENT, self._confirming.ask, run_id, destination)
        if ended is AttemptResult.LATER:
            self._enqueue_next(
                self._confirm, confirmation_queue(destination), run_id, destination, number
            )

    def _enqueue_next(
        self,
        workflow: Callable[..., None],
        queue: str,
        run_id: str,
        destination: str,
        number: int,
    ) -> bool:
        """Enqueue the attempt after this one, if there may be one more."""
        delivery = self._settings.delivery
        if number >= delivery.max_attempts:
            return False
        assert DBOS.workflow_id is not None
        with (
            SetWorkflowID(next_attempt_id(DBOS.workflow_id, number + 1)),
            SetEnqueueOptions(delay_seconds=pause_s(delivery, run_id, destination, number)),
        ):
            DBOS.enqueue_workflow(queue, workflow, run_id, destination, number + 1)
        return True


def _step(name: str, function: Callable[..., Any], *args: Any) -> Any:
    """Run a step of a workflow; errors of the disk and the database are tried again."""
    return DBOS.run_step(
        {
            "name": name,
            "retries_allowed": True,
            "interval_seconds": STEP_FIRST_RETRY_S,
            "max_attempts": STEP_ATTEMPTS,
            "should_retry": lambda error: isinstance(error, OSError | SQLAlchemyError),
        },
        function,
        *args,
    )


def _engine_config(settings: Settings, executor_id: str) -> DBOSConfig:
    return {
        "name": APPLICATION_NAME,
        "system_database_url": settings.workflow_database_url,
        "application_version": WORKFLOW_VERSION,
        "executor_id": executor_id,
        "log_level": "WARNING",
    }
