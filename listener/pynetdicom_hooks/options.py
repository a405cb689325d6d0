"""Process-wide options of pydicom and pynetdicom."""

from __future__ import annotations

import pydicom.config
from pynetdicom import _config


def configure_libraries() -> None:
    """Set the options of a process that sends or receives; may be called again.

    A file is sent as it is encoded, in fragments, not decoded and encoded again. Log lines and
    warnings, which quote patients' values, are not computed: descriptions of PDUs and messages, and
    the check of each UID in a negotiation, a third of the time to accept 120 contexts.
    """
    _config.STORE_SEND_CHUNKED_DATASET = True
    _config.LOG_HANDLER_LEVEL = "none"
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
