from .backbone import (
    Backbone,
    Encoded,
    load_backbone,
)
from .detector import (
    CalibratedFit,
    Detector,
    Scores,
    fit_calibrated,
)
from .detector_info import (
    DetectorInfo,
    read_detector_info,
)
from .errors import (
    BackboneUnavailableError,
    CalibrationError,
    CorruptDetectorError,
    DetectorError,
    DeviceMemoryError,
    ImageInputError,
    PictureError,
    PresetError,
    SupportSetError,
    UnknownWeightsError,
    UnsupportedBackboneError,
    WeightsMismatchError,
)
from .fitting import (
    NormalScore,
    choose_folds,
)
from .images import (
    Views,
    body_box,
)
from .operating_point import (
    DecidingNormal,
    OperatingPoint,
    Verdict,
    aggregate,
    deciding_normal,
    lowest_rate,
    normals_needed,
)
from .presets import (
    DEFAULT,
    OFFICIAL,
    PAPER,
    QUICK,
    Preset,
    get_preset,
    preset_names,
)
from .progress import (
    FitProgress,
    Progress,
)
from .series_smoothing import (
    smooth_slice,
)

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
    "DecidingNormal",
    "Detector",
    "DetectorError",
    "DetectorInfo",
    "DeviceMemoryError",
    "Encoded",
    "FitProgress",
    "ImageInputError",
    "NormalScore",
    "OperatingPoint",
    "PictureError",
    "Preset",
    "PresetError",
    "Progress",
    "Scores",
    "SupportSetError",
    "UnknownWeightsError",
    "UnsupportedBackboneError",
    "Verdict",
    "Views",
    "WeightsMismatchError",
    "aggregate",
    "body_box",
    "choose_folds",
    "deciding_normal",
    "fit_calibrated",
    "get_preset",
    "load_backbone",
    "lowest_rate",
    "normals_needed",
    "preset_names",
    "read_detector_info",
    "smooth_slice",
]
