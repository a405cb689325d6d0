"""The node's own errors: what was wrong, with what, and what to do; never patient data."""

from __future__ import annotations

from enum import StrEnum


class NodeError(Exception):
    """Base of the application's errors; the text is fit to be shown to an administrator."""


class ConfigError(NodeError):
    """A setting is missing, unknown or out of range."""


class DatabaseError(NodeError):
    """The database can't be reached, or has another layout than this version expects."""


class NodeStartError(NodeError):
    """The node can't listen where it is told to."""


class TaskError(NodeError):
    """A task is unknown, or can't be registered from what was given."""


class SupportSetReadError(TaskError):
    """The files named for a support set hold no usable images."""


class RateNotReachableError(TaskError):
    """The normal studies can't promise the false-positive rate; nothing was fitted or stored.

    Attributes:
        lowest_rate: the lowest rate that they can promise, rounded up.
        normals_needed: normal studies that the rate asked for needs.
    """

    def __init__(self, message: str, *, lowest_rate: float, normals_needed: int) -> None:
        super().__init__(message)
        self.lowest_rate = lowest_rate
        self.normals_needed = normals_needed


class StudyNotFoundError(NodeError):
    """The node knows no such study."""


class AnalysisError(NodeError):
    """The files given are no study that can be analysed."""


class DeliveryError(NodeError):
    """A destination did not take a result object.

    Attributes:
        permanent: it would refuse the same object again.
    """

    def __init__(self, message: str, *, permanent: bool = False) -> None:
        super().__init__(message)
        self.permanent = permanent


class DeliveryNotFoundError(NodeError):
    """No such delivery is open."""


class UnsupportedReason(StrEnum):
    """Why a file is not an image that the node analyses."""

    NOT_DICOM = "not a DICOM Part 10 file"
    NO_PIXEL_DATA = "no pixel data"
    NOT_AN_IMAGE = "derived object, not an image"
    OWN_RESULT = "written by this node"
    MALFORMED_HEADER = "malformed header"
    NO_HOUNSFIELD_UNITS = "no Hounsfield units for the task's window"


class UnsupportedImageError(NodeError):
    """The file is readable or not, but nothing in it can be analysed.

    Attributes:
        reason: the class of the problem, for statistics and the report.
        detail: what exactly was found, without patient data.
    """

    def __init__(self, reason: UnsupportedReason, *, detail: str) -> None:
        super().__init__(f"{reason.value}: {detail}")
        self.reason = reason
        self.detail = detail


class UndecodableFrameError(NodeError):
    """A frame's pixels could not be decoded; the image must be left out, never read as zeros.

    Attributes:
        sop_instance_uid: the SOP instance.
        frame_number: 1-based number of the first frame that failed.
        reason: the decoder's own words.
    """

    def __init__(self, *, sop_instance_uid: str, frame_number: int, reason: str) -> None:
        super().__init__(
            f"frame {frame_number} of SOP instance {sop_instance_uid} cannot be decoded: {reason}; "
            "leave the image out, or ask the sender to correct it or to use another transfer syntax"
        )
        self.sop_instance_uid = sop_instance_uid
        self.frame_number = frame_number
        self.reason = reason


class ResultWriteError(NodeError):
    """The result objects of a reading could not be made or written; nothing was left behind."""
