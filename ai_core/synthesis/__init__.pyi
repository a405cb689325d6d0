from .distributions import (
    Distribution,
)
from .foreground import (
    body_cells,
)
from .sampler import (
    Samples,
    synthesise,
    synthesise_seeded,
)
from .settings import (
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
    "Distribution",
    "IntensitySettings",
    "PerlinSettings",
    "Samples",
    "SourceSettings",
    "SynthesisSettings",
    "Task",
    "body_cells",
    "on_body",
    "synthesise",
    "synthesise_seeded",
]
