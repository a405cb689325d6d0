"""An association request, whose presentation contexts are read once for all that send the same."""

from __future__ import annotations

from copy import copy
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.pdu_items import PDU_ITEM_TYPES, PresentationContextItemRQ

if TYPE_CHECKING:
    from pynetdicom.presentation import PresentationContext

_PRESENTATION_CONTEXT = 0x20  # PS3.8 9.3.2.2
# A context of twenty transfer syntaxes has some 600 bytes; what is longer is not kept.
_KEPT_BYTES = 1024
_KEPT = 1024


class _ContextItem(PresentationContextItemRQ):
    """A proposed context, with what the library makes of it."""

    def __init__(self, encoded: bytes) -> None:
        super().__init__()
        self.decode(encoded)
        self._context = super().to_primitive()

    def to_primitive(self) -> PresentationContext:
        """Return the context, for one association alone."""
        context = copy(self._context)
        context._transfer_syntax = self._context.transfer_syntax.copy()
        return context


_known_context = lru_cache(maxsize=_KEPT)(_ContextItem)


class AssociationRequest(A_ASSOCIATE_RQ):
    """An A-ASSOCIATE-RQ (PS3.8 9.3.2) that is received.

    A sender proposes the same contexts every time, and an archive proposes more than a hundred:
    the library makes six objects of each and checks its UIDs several times, which took a third of
    the time of accepting an association.
    """

    def _wrap_generate_items(self, bytestream: bytes) -> list[Any]:
        return [_read(kind, encoded) for kind, encoded in self._generate_items(bytestream)]


def _read(kind: int, encoded: bytes) -> Any:
    if kind == _PRESENTATION_CONTEXT:
        return (_known_context if len(encoded) <= _KEPT_BYTES else _ContextItem)(encoded)
    item = PDU_ITEM_TYPES[kind]()
    item.decode(encoded)
    return item
