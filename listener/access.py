"""Who may associate."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Refusal(Enum):
    """Why an association is refused; the value is the reason in A-ASSOCIATE-RJ (PS3.8 9.3.4).

    Result 1 (permanent) and source 1 (service user) go with each.
    """

    CALLING_AE_NOT_RECOGNISED = 3
    CALLED_AE_NOT_RECOGNISED = 7

    @property
    def counter(self) -> str:
        """The reason in short, as counters name it."""
        return "calling_ae" if self is Refusal.CALLING_AE_NOT_RECOGNISED else "called_ae"


@dataclass(frozen=True, slots=True)
class AccessPolicy:
    """Decides from AE titles who may associate.

    Attributes:
        ae_title: our own, which a peer must call.
        calling_ae_titles: who may call; None lets anyone in.
    """

    ae_title: str
    calling_ae_titles: frozenset[str] | None

    @property
    def is_open(self) -> bool:
        """Whether any calling AE title is let in."""
        return self.calling_ae_titles is None

    def refusal(self, *, calling_ae_title: str, called_ae_title: str) -> Refusal | None:
        """Return why this association is refused, or None when it is welcome."""
        if self.calling_ae_titles is not None and calling_ae_title not in self.calling_ae_titles:
            return Refusal.CALLING_AE_NOT_RECOGNISED
        if called_ae_title != self.ae_title:
            return Refusal.CALLED_AE_NOT_RECOGNISED
        return None
