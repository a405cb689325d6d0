"""Outcome of a C-STORE, as its SCU sees it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from listener.errors import AssociationAbortedError


class StoreCategory(Enum):
    """What a C-STORE status means (PS3.4 table B.2-1)."""

    SUCCESS = "success"
    WARNING = "warning"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class StoreOutcome:
    """What became of one instance.

    Attributes:
        status: the DIMSE status of the peer; 0122H too when it took no context for the instance.
        comment: the peer's error comment, or ours.
    """

    sop_instance_uid: str
    status: int
    category: StoreCategory
    comment: str


class StoreAbortedError(AssociationAbortedError):
    """The association ended before every instance was answered.

    Attributes:
        outcomes: the answers of the peer until then, in the order sent.
    """

    def __init__(self, message: str, *, outcomes: tuple[StoreOutcome, ...]) -> None:
        super().__init__(message)
        self.outcomes = outcomes
