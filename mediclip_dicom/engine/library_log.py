"""Warnings and errors of the durable engine in our own log, without other people's words.

The library's messages quote SQL parameters and the errors of our steps, which may quote a header.
The stem of a message, up to the first colon, is the library's own text; of the rest only the names
of exception classes are kept.
"""

import logging
import re
import threading

import structlog

log = structlog.get_logger()

LIBRARY = "dbos"
_EXCEPTION_NAME = re.compile(r"\b(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Interrupt)\b")
_STEM_LENGTH = 200
_installing = threading.Lock()


class _ForwardingHandler(logging.Handler):
    """Handler that forwards the library's records as `engine.warned` and `engine.failed`."""

    def emit(self, record: logging.LogRecord) -> None:
        """Forward one record."""
        message = record.getMessage()
        stem = message.splitlines()[0].split(": ", 1)[0][:_STEM_LENGTH] if message else ""
        kinds = _EXCEPTION_NAME.findall(message[len(stem) :])
        if record.exc_info and record.exc_info[0] is not None:
            kinds.append(record.exc_info[0].__name__)
        forward = log.error if record.levelno >= logging.ERROR else log.warning
        name = "engine.failed" if record.levelno >= logging.ERROR else "engine.warned"
        forward(name, message=stem, reason=", ".join(dict.fromkeys(kinds)) or None)


def forward_library_log() -> None:
    """Send the library's warnings and errors to our log; a second call changes nothing."""
    library = logging.getLogger(LIBRARY)
    with _installing:
        if not any(isinstance(handler, _ForwardingHandler) for handler in library.handlers):
            library.addHandler(_ForwardingHandler(logging.WARNING))
        library.setLevel(logging.WARNING)
        library.propagate = False  # else the root logger prints the message as it is
