"""DIMSE service provider without two races of pynetdicom's own."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from pynetdicom.dimse import DIMSEServiceProvider

if TYPE_CHECKING:
    from pynetdicom.association import Association


class DIMSEProvider(DIMSEServiceProvider):
    """DIMSE provider of pynetdicom, with two differences.

    A response is left to the thread that waits for it. pynetdicom's association thread reads the
    same queue and drops the response if it is faster; the waiting thread then times out.

    The fragments of two messages are not mixed (PS3.8 E.2), although a commitment report is sent
    by another thread than responses are.

    Args:
        association: of the messages.
        wait_s: seconds that the association's thread blocks on an empty queue, instead of polling
            it 1,000 times a second.

    Attributes:
        sending: lock held while one message is handed over, so that fragments of two never
            interleave.
    """

    def __init__(self, association: Association, *, wait_s: float = 0.0) -> None:
        super().__init__(association)
        self._wait_s = wait_s
        self.sending = threading.Lock()

    def get_msg(self, block: bool = False) -> Any:  # noqa: FBT001, FBT002  the library's signature
        """Return the next message; without `block` (the association's thread) only a request."""
        if block:
            return super().get_msg(block=True)
        messages = self.msg_queue
        with messages.not_empty:
            if self._wait_s and not messages.queue:
                messages.not_empty.wait(self._wait_s)
            if not messages.queue:
                return None, None
            if _is_answer(messages.queue[0][1]):
                messages.not_empty.notify()  # for the thread that waits for it
                return None, None
            return messages.queue.popleft()

    def send_msg(self, primitive: Any, context_id: int) -> None:
        """Send a message without another one in between."""
        with self.sending:
            super().send_msg(primitive, context_id)


def _is_answer(message: Any) -> bool:
    return getattr(message, "MessageIDBeingRespondedTo", None) is not None
