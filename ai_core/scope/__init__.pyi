from .alterations import (
    ALTERATIONS,
    alter,
)
from .facts import (
    ImageFacts,
    describe_images,
)
from .fitting import (
    GuardFit,
)
from .guard import (
    ScopeAnswer,
    ScopeGuard,
    is_guard,
    restore_guard,
)
from .measures import (
    KINDS,
)
from .pixels import (
    PixelStatistics,
    measure_pixels,
)

__all__ = [
    "ALTERATIONS",
    "KINDS",
    "GuardFit",
    "ImageFacts",
    "PixelStatistics",
    "ScopeAnswer",
    "ScopeGuard",
    "alter",
    "describe_images",
    "is_guard",
    "measure_pixels",
    "restore_guard",
]
