"""Durable C-STORE receiver: the listener alone, without detector, database or configuration file.

    python examples/receive_only.py spool --ae-title NODE --port 11112 --peer CT1 --peer PACS

Received instances are on disk before they are acknowledged, as Part 10 files in
<folder>/studies/<study UID>/<series UID>/. A peer may also request storage commitment; the report
goes over the association of its request. Ctrl-C stops the receiver.
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

import structlog

from listener import (
    AllowedPeer,
    Arrivals,
    AssociationEnd,
    CommitmentProvider,
    ListenerSettings,
    Permission,
    Spool,
    StorageSCP,
    StudyActivity,
)

MAY = frozenset({Permission.STORE, Permission.COMMITMENT})


def main() -> None:
    """Receive until Ctrl-C."""
    options = parse_options()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    settings = ListenerSettings(
        options.ae_title,
        host=options.host,
        port=options.port,
        peers=tuple(AllowedPeer(title, title, may=MAY) for title in options.peer),
        anonymous_peer=None if options.peer else AllowedPeer("anonymous", "", may=MAY),
    )
    with (
        Spool(options.folder) as spool,
        Arrivals(print_activity, on_association_end=print_end) as arrivals,
        CommitmentProvider(spool, report_address=lambda _name: None) as commitment,
        StorageSCP(
            settings,
            spool,
            arrivals.stored,
            on_association_end=arrivals.association_ended,
            commitment=commitment,
        ) as scp,
    ):
        say(f"{options.ae_title} receives at {options.host}:{scp.port} into {spool.root}")
        signal.sigwait({signal.SIGINT, signal.SIGTERM})
    say("stopped")


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="for the instances; made if missing")
    parser.add_argument("--ae-title", default="NODE", help="our AE title, which peers must call")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=11112, help="0 for any free port")
    parser.add_argument(
        "--peer",
        action="append",
        default=[],
        metavar="AE_TITLE",
        help="peer that may send; may be repeated; without it every caller may",
    )
    options = parser.parse_args()
    # Before any thread starts: the signals wait for sigwait() instead of interrupting a thread.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    return options


def print_activity(activity: StudyActivity) -> None:
    """Print the instances of a study since its last report."""
    say(
        f"study {activity.study_instance_uid}: {activity.instances} new instances "
        f"and {activity.duplicates} known ones from {activity.calling_ae_title}"
    )


def print_end(end: AssociationEnd) -> None:
    """Print the end of an association."""
    how = "released" if end.released else "aborted"
    say(f"association of {end.calling_ae_title} {how}: {len(end.study_instance_uids)} studies")


def say(line: str) -> None:
    """Print a line at once, into a pipe, too."""
    print(line, flush=True)


if __name__ == "__main__":
    main()
