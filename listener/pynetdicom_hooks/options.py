"""Documented switches of pydicom and pynetdicom, which hold for the whole process."""

from __future__ import annotations

import pydicom.config
from pynetdicom import _config


def configure_libraries() -> None:
    """Set the libraries for a process that sends or receives; again does nothing.

    A file given by its path goes out as it is encoded, in pieces, instead of being decoded and
    encoded again. And what only makes text for log lines and warnings, which quote patients' values
    and are kept silent here, is not computed: a description of every PDU and message, and a check
    of every UID of a negotiation. That is a third of what it costs to accept an association of 120
    contexts.
    """
    _config.STORE_SEND_CHUNKED_DATASET = True
    _config.LOG_HANDLER_LEVEL = "none"
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
