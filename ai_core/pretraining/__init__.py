"""Distillation of a large teacher into a small backbone that can be bundled.

Run it as ``python -m ai_core.pretraining``.
"""

from ai_core.pretraining.exclusion import Exclusion, read_exclusion
from ai_core.pretraining.pictures import Pictures, gather_pictures
from ai_core.pretraining.run import pretrain
from ai_core.pretraining.settings import CropSettings, PretrainingSettings
from ai_core.pretraining.student import student_config

__all__ = [
    "CropSettings",
    "Exclusion",
    "Pictures",
    "PretrainingSettings",
    "gather_pictures",
    "pretrain",
    "read_exclusion",
    "student_config",
]
