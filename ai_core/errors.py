"""What can go wrong in the detector, as types that a caller can tell apart."""

from pathlib import Path


class DetectorError(Exception):
    """Base of every error that `ai_core` raises on purpose."""


class BackboneUnavailableError(DetectorError):
    """The backbone's weights, or its architecture, cannot be had on this machine."""

    def __init__(self, *, model: str, weights: str, cache_dir: Path | str, reason: str) -> None:
        self.model = model
        self.weights = weights
        self.cache_dir = str(cache_dir)
        self.reason = reason
        super().__init__(
            f"no weights {weights!r} for backbone {model!r}: {reason}. Looked in the cache folder "
            f"{self.cache_dir}. Either let this machine reach the model hub once, or copy a "
            f"weights file (.safetensors, .pt or .bin, made for open_clip's {model!r}) onto it and "
            f"give its path as the weights."
        )


class DeviceMemoryError(DetectorError):
    """The device's memory does not hold the backbone's work on a single image."""


class WeightsMismatchError(DetectorError):
    """A fitted detector was brought together with another backbone than it was fitted on."""


class ImageInputError(DetectorError, ValueError):
    """Images with a wrong shape, type or range, or with values that are not finite."""


class SupportSetError(DetectorError, ValueError):
    """A support set that no detector can be fitted on."""


class CalibrationError(DetectorError, ValueError):
    """Scores, groups or rates from which no operating point can be made."""


class PresetError(DetectorError, ValueError):
    """A preset that does not exist or contradicts itself."""


class CorruptDetectorError(DetectorError):
    """Bytes that are not a saved detector, or not a whole one."""


class PictureError(DetectorError, ValueError):
    """A file is no picture, or not one that can be taken for a medical image."""


class EvaluationError(DetectorError, ValueError):
    """A data set, support set or output folder from which no honest figure can be made."""


class PretrainingError(DetectorError, ValueError):
    """Pictures, lists, settings or a checkpoint from which no honest backbone can be trained."""
