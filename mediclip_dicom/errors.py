"""What can go wrong in the application, each with a message that says what to do."""


class NodeError(Exception):
    """Base of the application's errors; the text is fit to be shown to an administrator."""


class ConfigError(NodeError):
    """A setting is missing, unknown or out of range."""


class DatabaseError(NodeError):
    """The database can't be reached or has another layout than this version expects."""


class TaskError(NodeError):
    """A task is unknown, exists already, or can't be registered from what was given."""


class SupportSetReadError(TaskError):
    """The files named for a support set hold no usable images."""


class StudyNotFoundError(NodeError):
    """The node knows no such study."""


class DeliveryError(NodeError):
    """A destination did not take a result object."""


class AnalysisError(NodeError):
    """A study can't be analysed."""
