from .anomaly_map import (
    Adapters,
    FrozenProjection,
    LogMaps,
    fuse,
    similarities,
)
from .blend import (
    Blend,
    mirror_asymmetry,
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
    NearestPatches,
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
    BlendSettings,
    Fusion,
    PatchBankSettings,
    PromptSettings,
)

__all__ = [
    "Adapters",
    "Blend",
    "BlendSettings",
    "EmbeddingScope",
    "FoldHeads",
    "FreeTextVectors",
    "FrozenProjection",
    "Fusion",
    "Head",
    "LearnablePrompts",
    "LogMaps",
    "NearestPatches",
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
    "mirror_asymmetry",
    "nearest_distances",
    "restore_head",
    "similarities",
]
