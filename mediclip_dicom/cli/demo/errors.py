"""What can go wrong in the demonstration, each with what to do about it."""

from mediclip_dicom.errors import NodeError


class DemoError(NodeError):
    """The demonstration cannot go on; the message says why and what to do."""


class DemoExtraMissingError(DemoError):
    """The optional packages of the demonstration are not installed."""


class DemoDataError(DemoError):
    """The user's own folder does not hold what the demonstration needs."""


class PacsError(DemoError):
    """The demonstration's PACS did not start, or refused an operation."""
