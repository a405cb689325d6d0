"""Two workers on one workflow database: neither runs what the other runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from mediclip_dicom.engine import EngineClient
from mediclip_dicom.settings import Settings
from tests.conftest import leave_out, wait_until

POSTGRESQL = Path("/usr/lib/postgresql")

# A worker whose steps do nothing but count: the first run of `score` hangs until it is told to go.
WORKER = """
import json, sys, time
from pathlib import Path
from mediclip_dicom.database import open_database
from mediclip_dicom.engine import workflows
from mediclip_dicom.engine import WorkflowEngine
from mediclip_dicom.node.roles import Role, RoleHold
from mediclip_dicom.settings import Settings

root, url, calls = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
workflows.POLLING_INTERVAL_S = 0.1
hold = RoleHold(root, Role.WORKER)
settings = Settings.model_validate(
    {
        "storage": {"root": root},
        "database": {"workflow_url": url},
        "analysis": {"concurrent_studies": 2},
    }
)

class Steps:
    def note(self, step):
        with calls.open("a") as file:
            print(step, hold.executor_id, file=file)
    def take_revision(self, study): return 1
    def route(self, revision): return "run-1"
    def task_versions(self, run): self.note("task_versions"); return [1]
    def score(self, run, version):
        self.note("score")
        while not (calls.parent / "go").exists():
            time.sleep(0.05)
    def write(self, run, version): self.note("write")
    def plan_deliveries(self, run): return []

steps = Steps()
engine = WorkflowEngine(
    settings, open_database(settings.database_url), executor_id=hold.executor_id,
    predecessors=hold.predecessors, intake=steps, scoring=steps, delivering=steps, confirming=steps,
)
engine.start()
hold.forget_predecessors()
print("ready", flush=True)
time.sleep(600)
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def workflow_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'workflows.sqlite'}"
        return
    with postgresql() as (url, _):
        yield url


@contextmanager
def postgresql() -> Iterator[tuple[str, Callable[[], None]]]:
    """A PostgreSQL server of the test's own on a Unix socket: its URL, and what stops it."""
    binaries = sorted(POSTGRESQL.glob("*/bin")) if POSTGRESQL.is_dir() else []
    if not binaries:
        leave_out("PostgreSQL is not installed (Debian package postgresql)")
    as_user = []
    data = Path("/tmp") / f"mediclip-postgresql-{os.getpid()}"  # short: a socket's path is limited
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(mode=0o700)
    if os.getuid() == 0:  # the server refuses to run as root
        shutil.chown(data, "postgres", "postgres")
        as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    control = [*as_user, str(binaries[-1] / "pg_ctl"), "-D", str(data / "db")]
    initdb = [*as_user, str(binaries[-1] / "initdb"), "-D", str(data / "db"), "-A", "trust"]
    subprocess.run([*initdb, "-U", "node"], check=True, capture_output=True, cwd=data)
    options = f"-c listen_addresses= -k {data}"

    def stop() -> None:
        subprocess.run([*control, "-m", "immediate", "stop"], check=False, capture_output=True)

    try:
        subprocess.run(
            [*control, "-w", "-o", options, "-l", str(data / "log"), "start"],
            check=True,
            capture_output=True,
            cwd=data,
        )
        yield f"postgresql+psycopg://node@/postgres?host={data}", stop
    finally:
        stop()
        shutil.rmtree(data, ignore_errors=True)


def start_worker(root: Path, url: str, calls: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(root), url, str(calls)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert any(line.strip() == "ready" for line in process.stdout)
    return process


class Workers:
    """Workers on one workflow database, and a study whose scoring hangs in the first of them."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url
        self.calls = folder / "calls"
        self._processes: list[subprocess.Popen[str]] = []
        self.first = self.start("one")
        with EngineClient(self.settings) as client:
            client.complete_study("1.2.3")
        wait_until(lambda: self.steps == ["task_versions", "score"], "the scoring")

    @property
    def settings(self) -> Settings:
        return Settings.model_validate({"database": {"workflow_url": self.url}})

    @property
    def steps(self) -> list[str]:
        return [step for step, _ in self._lines()]

    @property
    def executors(self) -> set[str]:
        return {executor for _, executor in self._lines()}

    def start(self, storage: str) -> subprocess.Popen[str]:
        process = start_worker(self.folder / storage, self.url, self.calls)
        self._processes.append(process)
        return process

    def let_scoring_end(self) -> None:
        (self.folder / "go").touch()
        wait_until(lambda: self.steps[-1] == "write", "the end of the run")

    def kill_all(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()

    def _lines(self) -> list[list[str]]:
        lines = self.calls.read_text().splitlines() if self.calls.exists() else []
        return [line.split() for line in lines]


@pytest.fixture
def workers(tmp_path: Path, workflow_url: str) -> Iterator[Workers]:
    with ExitStack() as stack:
        workers = Workers(tmp_path, workflow_url)
        stack.callback(workers.kill_all)
        yield workers


def test_a_second_worker_does_not_run_what_the_first_one_runs(workers: Workers) -> None:
    """Until each had an executor id of its own, a second start took over every pending run."""
    workers.start("two")
    _wait_for_polls(workers)
    assert workers.steps == ["task_versions", "score"]
    workers.let_scoring_end()
    assert len(workers.executors) == 1


def test_a_killed_workers_run_is_taken_over_by_the_next_one_on_its_storage(
    workers: Workers,
) -> None:
    workers.first.kill()
    workers.first.wait()
    (workers.folder / "go").touch()
    workers.start("one")
    workers.let_scoring_end()
    assert workers.steps == ["task_versions", "score", "score", "write"]
    assert len(workers.executors) == 2


def test_a_worker_that_has_lost_its_database_says_so_in_its_log(tmp_path: Path) -> None:
    """Until the engine's own log was forwarded, its poller lost it without a word."""
    with postgresql() as (url, stop):
        process = start_worker(tmp_path / "one", url, tmp_path / "calls")
        try:
            stop()
            assert process.stdout is not None
            said = next(line for line in process.stdout if "OperationalError" in line)
        finally:
            process.kill()
            process.wait()
    assert "engine.warned" in said


def _wait_for_polls(workers: Workers) -> None:
    """Wait for more gatherings: when they are done, both workers have looked at the queues."""
    with EngineClient(workers.settings) as client:
        for number in range(3):
            client.complete_study(f"1.2.3.{number}")
    engine = create_engine(workers.url)
    table = "workflow_status" if engine.dialect.name == "sqlite" else "dbos.workflow_status"
    done = f"SELECT count(*) FROM {table} WHERE name = 'gather' AND status = 'SUCCESS'"

    def gathered() -> bool:
        with engine.connect() as connection:
            return int(connection.execute(text(done)).scalar_one()) == 4

    wait_until(gathered, "the gatherings of both workers")
    engine.dispose()
