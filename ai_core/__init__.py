"""The detector: MediCLIP on arrays and tensors, with no DICOM, database or configuration."""

from ai_core.backbone.backbone import Backbone, Encoded, load_backbone
from ai_core.detector import Detector, Scores
from ai_core.errors import (
    BackboneUnavailableError,
    CalibrationError,
    CorruptDetectorError,
    DetectorError,
    ImageInputError,
    PresetError,
    SupportSetError,
    WeightsMismatchError,
)
from ai_core.fitting.calibration import CalibratedFit, fit_calibrated
from ai_core.operating_point import OperatingPoint, Verdict, aggregate, normals_needed
from ai_core.presets import DEFAULT, OFFICIAL, PAPER, QUICK, Preset, get_preset, preset_names
from ai_core.progress import FitProgress, Progress
from ai_core.storage import DetectorInfo

__all__ = [
    "DEFAULT",
    "OFFICIAL",
    "PAPER",
    "QUICK",
    "Backbone",
    "BackboneUnavailableError",
    "CalibratedFit",
    "CalibrationError",
    "CorruptDetectorError",
    "Detector",
    "DetectorError",
    "DetectorInfo",
    "Encoded",
    "FitProgress",
    "ImageInputError",
    "OperatingPoint",
    "Preset",
    "PresetError",
    "Progress",
    "Scores",
    "SupportSetError",
    "Verdict",
    "WeightsMismatchError",
    "aggregate",
    "fit_calibrated",
    "get_preset",
    "load_backbone",
    "normals_needed",
    "preset_names",
]
