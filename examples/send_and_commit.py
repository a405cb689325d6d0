"""C-STORE of DICOM files, then a request for storage commitment of what the peer accepted.

    python examples/send_and_commit.py pacs.clinic.example 11112 study/*.dcm --called PACS

Prints an outcome for each file. The exit code is 0 if the peer accepted every file and committed to
it, and 1 if it refused one or did not report in time.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pydicom import dcmread
from pydicom.uid import generate_uid

from listener import (
    ListenerError,
    Peer,
    SOPReference,
    StoreCategory,
    StoreOutcome,
    request_commitment,
    store,
)


def main() -> int:
    """Send and request commitment; return the exit code."""
    options = parse_options()
    peer = Peer(options.called, options.host, options.port, calling_ae_title=options.calling)
    try:
        outcomes = store(peer, options.files, on_answer=print_outcome)
        accepted = [
            reference_to(path)
            for path, outcome in zip(options.files, outcomes, strict=True)
            if outcome.category is not StoreCategory.REFUSED
        ]
        committed = bool(accepted) and commit(peer, accepted, wait_s=options.wait)
    except ListenerError as error:
        print(error, file=sys.stderr)
        return 1
    return 0 if committed and len(accepted) == len(options.files) else 1


def commit(peer: Peer, accepted: list[SOPReference], *, wait_s: float) -> bool:
    """Request commitment and print the report; return whether the peer committed to everything."""
    report = request_commitment(peer, accepted, transaction_uid=generate_uid(), wait_s=wait_s)
    if report is None:
        print(f"no commitment report within {wait_s:g} s; the peer may report later")
        return False
    for reference in report.committed:
        print(f"{reference.sop_instance_uid}: committed")
    for reference, reason in report.failed:
        print(f"{reference.sop_instance_uid}: not committed, reason {reason:04X}H")
    return {r.sop_instance_uid for r in report.committed} >= {r.sop_instance_uid for r in accepted}


def reference_to(path: Path) -> SOPReference:
    """Return the reference to the instance in a file."""
    dataset = dcmread(path, specific_tags=["SOPClassUID", "SOPInstanceUID"])
    return SOPReference(dataset.SOPClassUID, dataset.SOPInstanceUID)


def print_outcome(outcome: StoreOutcome) -> None:
    """Print the answer to one C-STORE."""
    comment = f", {outcome.comment}" if outcome.comment else ""
    print(f"{outcome.sop_instance_uid}: {outcome.category.value} ({outcome.status:04X}H{comment})")


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("host", help="of the peer")
    parser.add_argument("port", type=int, help="of the peer")
    parser.add_argument("files", type=Path, nargs="+", help="Part 10 files")
    parser.add_argument("--called", default="NODE", help="AE title of the peer")
    parser.add_argument("--calling", default="SENDER", help="our AE title")
    parser.add_argument(
        "--wait", type=float, default=10.0, help="seconds to wait for the commitment report"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
