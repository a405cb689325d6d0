from .anomaly_map import (
    Adapters,
    FrozenProjection,
    LogMaps,
    fuse,
    similarities,
)
from .free_text import (
    FreeTextVectors,
    make_text_vectors,
)
from .head import (
    FoldHeads,
    Head,
    Scope,
    restore_head,
)
from .losses import (
    medical_anomaly_loss,
)
from .patch_bank import (
    PatchBank,
    coreset,
    distances_to_bank,
    fit_patch_bank,
    join_blocks,
    nearest_distances,
)
from .prompts import (
    LearnablePrompts,
    TextTower,
)
from .scope import (
    EmbeddingScope,
)
from .settings import (
    Fusion,
    PatchBankSettings,
    PromptSettings,
)

__all__ = [
    "Adapters",
    "EmbeddingScope",
    "FoldHeads",
    "FreeTextVectors",
    "FrozenProjection",
    "Fusion",
    "Head",
    "LearnablePrompts",
    "LogMaps",
    "PatchBank",
    "PatchBankSettings",
    "PromptSettings",
    "Scope",
    "TextTower",
    "coreset",
    "distances_to_bank",
    "fit_patch_bank",
    "fuse",
    "join_blocks",
    "make_text_vectors",
    "medical_anomaly_loss",
    "nearest_distances",
    "restore_head",
    "similarities",
]
