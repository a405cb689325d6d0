from .architecture import (
    CLIP_MEAN,
    CLIP_STD,
    Architecture,
    build_model,
    read_architecture,
)
from .backbone import (
    Backbone,
    Encoded,
)
from .checkpoint import (
    SEEDED_TEXT,
    UNREADABLE,
    load_checkpoint,
)
from .cuda_graphs import (
    Replay,
)
from .families import (
    Family,
    accepted_names,
    recognise,
)
from .loading import (
    load_backbone,
    tapped_blocks,
)
from .malloc import (
    keep_freed_memory,
)
from .names import (
    BUNDLED,
    UNTRAINED,
    Precision,
)
from .tower import (
    at_patches,
    run_tower,
)
from .untrained import (
    UNTRAINED_SEED,
    VISION_PREFIX,
    initialise_untrained,
)

__all__ = [
    "BUNDLED",
    "CLIP_MEAN",
    "CLIP_STD",
    "SEEDED_TEXT",
    "UNREADABLE",
    "UNTRAINED",
    "UNTRAINED_SEED",
    "VISION_PREFIX",
    "Architecture",
    "Backbone",
    "Encoded",
    "Family",
    "Precision",
    "Replay",
    "accepted_names",
    "at_patches",
    "build_model",
    "initialise_untrained",
    "keep_freed_memory",
    "load_backbone",
    "load_checkpoint",
    "read_architecture",
    "recognise",
    "run_tower",
    "tapped_blocks",
]
