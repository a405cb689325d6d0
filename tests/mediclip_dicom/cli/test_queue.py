"""`mediclip-dicom queue` and `delivery`: what waits, and what is done about it."""

from pathlib import Path

from sqlalchemy.orm import Session, sessionmaker

from mediclip_dicom.database import (
    Delivery,
    DeliveryState,
    ResultFile,
    Run,
    RunState,
    Study,
    StudyRevision,
    open_database,
)
from mediclip_dicom.settings import Settings
from tests.factories.command_line import Cli, write_config
from tests.factories.rows import NOW, task_version

DESTINATION = """
[[destinations]]
name = "archive"
ae_title = "ARCHIVE"
host = "127.0.0.1"
port = 1
commitment = true
"""


def fill(sessions: sessionmaker[Session]) -> None:
    with sessions.begin() as session:
        version = task_version(session)
        for number, state in enumerate((DeliveryState.FAILED, DeliveryState.DELIVERED), start=1):
            run = Run(
                id=f"{number}" * 64,
                revision=StudyRevision(
                    study=Study(study_instance_uid=f"1.2.3.{number}", first_seen_at=NOW),
                    number=1,
                    content_digest="0" * 64,
                    created_at=NOW,
                ),
                state=RunState.FAILED,
                created_at=NOW,
                finished_at=NOW,
            )
            session.add(run)
            session.flush()
            session.add(
                ResultFile(
                    sop_instance_uid=f"1.2.3.{number}.1",
                    run_id=run.id,
                    task_version_id=version.id,
                    kind="SR",
                    sop_class_uid="1.2",
                    series_instance_uid="1.2.3",
                    path="x",
                    digest="0",
                    deliveries=[
                        Delivery(
                            destination="archive",
                            state=state,
                            attempts=7,
                            comment="refused [/by the archive]",
                            updated_at=NOW,
                        )
                    ],
                )
            )


def test_an_empty_queue_says_so(cli: Cli, config: Path) -> None:
    said = cli("--config", config, "queue")
    assert (said.code, said.text) == (0, "nothing waits")


def test_what_failed_and_what_is_not_confirmed_is_shown(
    cli: Cli, settings: Settings, tmp_path: Path
) -> None:
    fill(open_database(settings.database_url))
    config = write_config(settings, tmp_path / "node.toml", extra=DESTINATION)
    said = cli("--config", config, "queue")
    assert said.code == 0
    for words in ("1.2.3.1", "failed", "to be confirmed", "refused [/by the archive]", " 7 "):
        assert words in said.text


def test_an_unknown_run_or_destination_ends_with_1_and_says_where_to_look(
    cli: Cli, settings: Settings, tmp_path: Path
) -> None:
    fill(open_database(settings.database_url))
    config = write_config(settings, tmp_path / "node.toml", extra=DESTINATION)
    for command in ("retry", "cancel"):
        said = cli("--config", config, "delivery", command, "feed", "archive")
        assert said.code != 0
        assert "see mediclip-dicom queue" in said.text
    said = cli("--config", config, "delivery", "retry", "1111", "elsewhere")
    assert said.code != 0
    assert "there is no destination 'elsewhere'" in said.text


def test_a_workflow_database_that_was_never_made_says_so(
    cli: Cli, settings: Settings, tmp_path: Path
) -> None:
    fill(open_database(settings.database_url))
    config = write_config(settings, tmp_path / "node.toml", extra=DESTINATION)
    said = cli("--config", config, "delivery", "cancel", "1111", "archive")
    assert said.code != 0
    assert "start the node once" in said.text
