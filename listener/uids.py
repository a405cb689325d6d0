"""UIDs from the network, validated before they name a folder or a file."""

from __future__ import annotations

import re

from listener.errors import InvalidUIDError

_MAX_LENGTH = 64
# PS3.5 9.1 also forbids leading zeros in a component. Some modalities break this rule and no other;
# such a UID is harmless as a path, and refusing it would lose images.
_UID = re.compile(r"[0-9]+(?:\.[0-9]+)+")


def clean_uid(value: str | bytes, *, name: str) -> str:
    """Return a UID without its padding (PS3.5 9.1: at most 64 characters, digits and dots).

    Args:
        value: the UID as received; trailing NULs and spaces are padding.
        name: the attribute's keyword, for the error.

    Raises:
        InvalidUIDError: the UID is empty, too long, or has other characters than digits and dots.
    """
    text = value.decode("ascii", errors="replace") if isinstance(value, bytes) else value
    text = text.rstrip("\0 ")
    if not text:
        raise InvalidUIDError(f"{name} is missing or empty")
    if len(text) > _MAX_LENGTH or _UID.fullmatch(text) is None:
        raise InvalidUIDError(f"{name} is not a valid UID")
    return text
