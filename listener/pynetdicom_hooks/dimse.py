"""DIMSE service provider without two races of pynetdicom's own."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from pynetdicom.dimse import DIMSEServiceProvider

if TYPE_CHECKING:
    from pynetdicom.association import Association


class DIMSEProvider(DIMSEServiceProvider):
    """pynetdicom's queue of messages, with these differences.

    An answer is left to whoever waits for it. The association's own thread also looks into the
    queue, and where it was quicker it dropped the answer, so that the waiting one heard nothing
    until its time was over.

    A message goes out whole. A commitment report is sent from another thread than answers are, and
    the fragments of two messages must not mix (PS3.8 E.2).

    Args:
        wait_s: seconds that the association's thread waits where it else looks a thousand times a
            second; a sender waits that long for it at each message.

    Attributes:
        sending: who holds it is between two messages: all of the last one was handed over, and
            none begins.
    """

    def __init__(self, association: Association, *, wait_s: float = 0.0) -> None:
        super().__init__(association)
        self._wait_s = wait_s
        self.sending = threading.Lock()

    def get_msg(self, block: bool = False) -> Any:  # noqa: FBT001, FBT002  the library's signature
        """Return the next message: to the association's thread no answer, to others any."""
        if block:
            return super().get_msg(block=True)
        messages = self.msg_queue
        with messages.not_empty:
            if self._wait_s and not messages.queue:
                messages.not_empty.wait(self._wait_s)
            if not messages.queue:
                return None, None
            if _is_answer(messages.queue[0][1]):
                messages.not_empty.notify()  # which may have woken us instead of who waits for it
                return None, None
            return messages.queue.popleft()

    def send_msg(self, primitive: Any, context_id: int) -> None:
        """Send a message whole."""
        with self.sending:
            super().send_msg(primitive, context_id)


def _is_answer(message: Any) -> bool:
    return getattr(message, "MessageIDBeingRespondedTo", None) is not None
