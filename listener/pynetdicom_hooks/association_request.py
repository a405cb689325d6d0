"""A-ASSOCIATE-RQ parser that caches decoded presentation contexts by their bytes."""

from __future__ import annotations

from copy import copy
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.pdu_items import PDU_ITEM_TYPES, PresentationContextItemRQ

from listener.pynetdicom_hooks.negotiation import Titles, repaired, titles_of

if TYPE_CHECKING:
    from pynetdicom.presentation import PresentationContext

_PRESENTATION_CONTEXT = 0x20  # PS3.8 9.3.2.2
# A context of twenty transfer syntaxes has about 600 bytes; a longer one is not cached.
_MAX_CACHED_BYTES = 1024
_CACHE_SIZE = 1024


class _ContextItem(PresentationContextItemRQ):
    """Presentation context item with its decoded context."""

    def __init__(self, encoded: bytes) -> None:
        super().__init__()
        self.decode(encoded)
        self._context = super().to_primitive()

    def to_primitive(self) -> PresentationContext:
        """Return a copy of the context, for one association."""
        context = copy(self._context)
        context._transfer_syntax = self._context.transfer_syntax.copy()
        return context


_known_context = lru_cache(maxsize=_CACHE_SIZE)(_ContextItem)


class AssociationRequest(A_ASSOCIATE_RQ):
    """Received A-ASSOCIATE-RQ (PS3.8 9.3.2), repaired where a peer departs from the standard.

    A sender proposes the same contexts every time, an archive more than a hundred. pynetdicom makes
    six objects of each and checks its UIDs several times: a third of the time of an acceptance.

    Attributes:
        titles: AE titles as the peer sent them, without padding.
    """

    titles = Titles()

    def decode(self, bytestream: bytes) -> None:
        """Decode the PDU.

        Raises:
            BrokenMessageError: an item that is needed can't be read.
        """
        self.titles = titles_of(bytestream)
        super().decode(repaired(bytestream))

    def _wrap_generate_items(self, bytestream: bytes) -> list[Any]:
        return [_read(kind, encoded) for kind, encoded in self._generate_items(bytestream)]


def _read(kind: int, encoded: bytes) -> Any:
    if kind == _PRESENTATION_CONTEXT:
        return (_known_context if len(encoded) <= _MAX_CACHED_BYTES else _ContextItem)(encoded)
    item = PDU_ITEM_TYPES[kind]()
    item.decode(encoded)
    return item
