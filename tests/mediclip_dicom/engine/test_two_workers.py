"""Two workers on one workflow database: neither runs what the other runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

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
    yield from postgresql(tmp_path)


def postgresql(folder: Path) -> Iterator[str]:
    """A PostgreSQL server of the test's own on a Unix socket."""
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
    try:
        subprocess.run(
            [*control, "-w", "-o", options, "-l", str(data / "log"), "start"],
            check=True,
            capture_output=True,
            cwd=data,
        )
        yield f"postgresql+psycopg://node@/postgres?host={data}"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], check=False, capture_output=True)
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


def steps_in(calls: Path) -> list[tuple[str, ...]]:
    return (
        [tuple(line.split()) for line in calls.read_text().splitlines()] if calls.exists() else []
    )


def test_a_second_worker_does_not_run_what_the_first_one_runs(
    tmp_path: Path, workflow_url: str
) -> None:
    """Until each had an executor id of its own, a second start took over every pending run."""
    from mediclip_dicom.engine import EngineClient
    from mediclip_dicom.settings import Settings

    calls = tmp_path / "calls"
    first = start_worker(tmp_path / "one", workflow_url, calls)
    second = None
    try:
        settings = Settings.model_validate({"database": {"workflow_url": workflow_url}})
        with EngineClient(settings) as client:
            client.complete_study("1.2.3")
        wait_until(lambda: tuple(s[0] for s in steps_in(calls))[-1:] == ("score",), "the scoring")
        second = start_worker(tmp_path / "two", workflow_url, calls)
        _wait_for_polls(workflow_url)
        assert [step for step, _ in steps_in(calls)] == ["task_versions", "score"]
        (tmp_path / "go").touch()
        wait_until(lambda: steps_in(calls)[-1][0] == "write", "the end of the run")
        assert len({executor for _, executor in steps_in(calls)}) == 1
    finally:
        for process in (first, second):
            if process is not None:
                process.kill()
                process.wait()


def test_a_killed_workers_run_is_taken_over_by_the_next_one_on_its_storage(
    tmp_path: Path, workflow_url: str
) -> None:
    from mediclip_dicom.engine import EngineClient
    from mediclip_dicom.settings import Settings

    calls = tmp_path / "calls"
    first = start_worker(tmp_path / "one", workflow_url, calls)
    second = None
    try:
        settings = Settings.model_validate({"database": {"workflow_url": workflow_url}})
        with EngineClient(settings) as client:
            client.complete_study("1.2.3")
        wait_until(lambda: len(steps_in(calls)) == 2, "the scoring")
        first.kill()
        first.wait()
        (tmp_path / "go").touch()
        second = start_worker(tmp_path / "one", workflow_url, calls)
        wait_until(lambda: steps_in(calls)[-1][0] == "write", "the end of the run")
        assert [step for step, _ in steps_in(calls)] == [
            "task_versions", "score", "score", "write",
        ]  # fmt: skip
        assert len({executor for _, executor in steps_in(calls)}) == 2
    finally:
        for process in (first, second):
            if process is not None:
                process.kill()
                process.wait()


def _wait_for_polls(url: str) -> None:
    """Give the second worker a run of its own: when that is done, it has looked at the queues."""
    from mediclip_dicom.engine import EngineClient
    from mediclip_dicom.settings import Settings

    settings = Settings.model_validate({"database": {"workflow_url": url}})
    with EngineClient(settings) as client:
        for number in range(3):
            client.complete_study(f"1.2.3.{number}")
    engine = create_engine(url)
    table = "workflow_status" if url.startswith("sqlite") else "dbos.workflow_status"
    done = f"SELECT count(*) FROM {table} WHERE name = 'gather' AND status = 'SUCCESS'"

    def gathered() -> bool:
        with engine.connect() as connection:
            return int(connection.execute(text(done)).scalar_one()) == 4

    wait_until(gathered, "the gatherings of both workers")
    engine.dispose()
