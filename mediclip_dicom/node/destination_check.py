"""Check of a destination: whether it answers, and which of its results it takes."""

from __future__ import annotations

from pydicom.uid import UID

from listener import ProbeResult, probe
from listener.errors import NoPresentationContextError
from mediclip_dicom.delivery import destination_peer
from mediclip_dicom.results import RESULT_SOP_CLASSES, RESULT_TRANSFER_SYNTAX
from mediclip_dicom.settings import DestinationSettings, ResultKind, Settings


def check_destination(settings: Settings, name: str) -> tuple[bool, str]:
    """Propose the classes of a destination's results to it, without sending any.

    Returns:
        Whether it takes all of them and answers C-ECHO, and the finding in words.

    Raises:
        listener.ListenerError: it can't be reached, rejects us, or takes none of its results.
    """
    destination = settings.destination(name)
    classes = sorted({uid for kind in destination.results for uid in RESULT_SOP_CLASSES[kind]})
    found = probe(
        destination_peer(settings, destination), [(uid, RESULT_TRANSFER_SYNTAX) for uid in classes]
    )
    where = f"{destination.ae_title} at {destination.host}:{destination.port}"
    taken = {kind: _taken(kind, found) for kind in destination.results}
    refused = [kind for kind, uid in taken.items() if uid is None]
    if len(refused) == len(taken):
        raise NoPresentationContextError(
            f"{where} answers, but {_refusal(refused)}, so it gets no result at all; make it "
            "accept them, or set other results for this destination"
        )
    parts = [
        f"{where} does not accept C-ECHO (Verification)"
        if found.round_trip_s is None
        else f"{where} answers in {found.round_trip_s * 1000:.0f} ms"
    ]
    parts.append(_acceptance(destination, taken))
    if refused:
        parts.append(f"{_refusal(refused)}: make it accept them, or take them out of its results")
    return not refused and found.round_trip_s is not None, "; ".join(parts)


def _taken(kind: ResultKind, found: ProbeResult) -> str | None:
    """Return the first SOP class of a kind that the destination takes."""
    for uid in RESULT_SOP_CLASSES[kind]:
        if (uid, RESULT_TRANSFER_SYNTAX) in found.accepted:
            return uid
    return None


def _acceptance(destination: DestinationSettings, taken: dict[ResultKind, str | None]) -> str:
    words = [
        kind if uid == RESULT_SOP_CLASSES[kind][0] else f"{kind} as {UID(uid).name}"
        for kind, uid in taken.items()
        if uid is not None and kind in destination.results
    ]
    return f"takes {', '.join(words)}"


def _refusal(kinds: list[ResultKind]) -> str:
    words = [
        f"{kind} ({', '.join(UID(uid).name for uid in RESULT_SOP_CLASSES[kind])})" for kind in kinds
    ]
    return f"refuses {', '.join(words)} in Explicit VR Little Endian"
