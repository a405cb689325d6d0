"""Outcome of a C-STORE, as its SCU sees it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from listener.errors import AssociationAbortedError


class StoreCategory(Enum):
    """Category of a C-STORE status (PS3.4 table B.2-1).

    Example:
        >>> StoreCategory("refused")
        <StoreCategory.REFUSED: 'refused'>
    """

    SUCCESS = "success"
    WARNING = "warning"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class StoreOutcome:
    """Outcome of the C-STORE of one instance.

    Attributes:
        status: DIMSE status of the peer; 0122H also if it accepted no context for the instance.
        category: of the status.
        comment: the peer's error comment, or ours.

    Example:
        >>> full = StoreOutcome("1.2.3", 0xA700, StoreCategory.REFUSED, "disk full")
        >>> f"{full.status:04X}H {full.comment}"
        'A700H disk full'
    """

    sop_instance_uid: str
    status: int
    category: StoreCategory
    comment: str


class StoreAbortedError(AssociationAbortedError):
    """The association ended before every instance was answered.

    Attributes:
        outcomes: the answers of the peer until then, in the order sent.

    Example:
        >>> def send(peer: Peer, paths: list[Path]) -> tuple[StoreOutcome, ...]:
        ...     try:
        ...         return store(peer, paths)
        ...     except StoreAbortedError as error:
        ...         return error.outcomes  # of the first instances; send the others again
    """

    def __init__(self, message: str, *, outcomes: tuple[StoreOutcome, ...]) -> None:
        super().__init__(message)
        self.outcomes = outcomes
