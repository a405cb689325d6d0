"""Synthetic anomalies from normal images alone (MediCLIP section 2.2)."""

from ai_core.synthesis.laws import Law
from ai_core.synthesis.sampler import Samples, synthesise, synthesise_seeded
from ai_core.synthesis.settings import (
    DEFAULT_SYNTHESIS,
    OFFICIAL_SYNTHESIS,
    PAPER_SYNTHESIS,
    CutPasteSettings,
    IntensitySettings,
    PerlinSettings,
    SourceSettings,
    SynthesisSettings,
    Task,
    on_body,
)

__all__ = [
    "DEFAULT_SYNTHESIS",
    "OFFICIAL_SYNTHESIS",
    "PAPER_SYNTHESIS",
    "CutPasteSettings",
    "IntensitySettings",
    "Law",
    "PerlinSettings",
    "Samples",
    "SourceSettings",
    "SynthesisSettings",
    "Task",
    "on_body",
    "synthesise",
    "synthesise_seeded",
]
