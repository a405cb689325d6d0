"""Reasons of A-ASSOCIATE-RJ and A-ABORT in words (PS3.8 tables 9-21 and 9-26)."""

from __future__ import annotations

_RESULTS = {1: "for good", 2: "for now"}
_REJECTIONS = {
    (1, 1): "No reason given",
    (1, 2): "Application context name not supported",
    (1, 3): "Calling AE title not recognised",
    (1, 7): "Called AE title not recognised",
    (2, 1): "No reason given by its ACSE",
    (2, 2): "Protocol version not supported",
    (3, 1): "Temporary congestion",
    (3, 2): "Limit of associations exceeded",
}
_SOURCES = {0: "its application", 2: "its DICOM library"}
_ABORTS = {
    0: "no reason given",
    1: "a PDU that it does not know",
    2: "a PDU that it did not expect",
    4: "a parameter that it does not know",
    5: "a parameter that it did not expect",
    6: "a parameter with an invalid value",
}


def describe_rejection(pdu: bytes) -> str:
    """Describe a received A-ASSOCIATE-RJ."""
    result, source, reason = pdu[6:].ljust(4, b"\0")[1:4]
    words = _REJECTIONS.get((source, reason), f"Reason {reason} of source {source}")
    return f"{words} ({_RESULTS.get(result, f'result {result}')})"


def describe_abort(pdu: bytes) -> str:
    """Describe a received A-ABORT; its reason only counts where the library aborts."""
    source, reason = pdu[6:].ljust(4, b"\0")[2:4]
    words = f"the peer aborted: {_SOURCES.get(source, f'source {source}')}"
    if source != 2:
        return words
    return f"{words}, {_ABORTS.get(reason, f'reason {reason}')}"


def escaped(title: str) -> str:
    r"""Escape an AE title for a log, at most 64 characters.

    Example:
        >>> from listener.pynetdicom_hooks.reasons import escaped
        >>> print(escaped("PACS\nadmin"))
        PACS\nadmin
    """
    return title[:16].encode("unicode_escape").decode("ascii")
