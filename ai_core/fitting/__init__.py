"""The k-shot fit: support set, pool of synthetic features, training and calibration."""

from ai_core.fitting.blend import with_blend
from ai_core.fitting.calibration import (
    MOST_FOLDS,
    CalibratedHeads,
    HeldOut,
    HeldOutPlaces,
    NormalScore,
    StudyScore,
    choose_folds,
    cross_fit,
)
from ai_core.fitting.fit import make_pool, train_head
from ai_core.fitting.support import Support, prepare_support
from ai_core.fitting.trainer import start_adapters

__all__ = [
    "MOST_FOLDS",
    "CalibratedHeads",
    "HeldOut",
    "HeldOutPlaces",
    "NormalScore",
    "StudyScore",
    "Support",
    "choose_folds",
    "cross_fit",
    "make_pool",
    "prepare_support",
    "start_adapters",
    "train_head",
    "with_blend",
]
