"""Errors of the demonstration."""

from mediclip_dicom.errors import NodeError


class DemoError(NodeError):
    """Demonstration that can't go on; the message names the reason and the remedy."""


class DemoExtraMissingError(DemoError):
    """Optional packages of the demonstration that are not installed."""


class DemoDataError(DemoError):
    """Folder of the user that lacks what the demonstration needs."""


class PacsError(DemoError):
    """PACS of the demonstration that did not start, or refused an operation."""
