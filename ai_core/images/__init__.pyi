from .checks import (
    IMAGE_SIZE,
    check_images,
    check_support,
    image_digests,
)
from .drawing import (
    BACKGROUND,
    MARK,
    MUTED,
    TEXT,
    Bools,
    Floats,
    font,
    tile,
    tint,
    to_picture,
)
from .picture_files import (
    PICTURE_SUFFIXES,
    between_percentiles,
    read_picture,
)
from .placement import (
    Mode,
    Placement,
)

__all__ = [
    "BACKGROUND",
    "IMAGE_SIZE",
    "MARK",
    "MUTED",
    "PICTURE_SUFFIXES",
    "TEXT",
    "Bools",
    "Floats",
    "Mode",
    "Placement",
    "between_percentiles",
    "check_images",
    "check_support",
    "font",
    "image_digests",
    "read_picture",
    "tile",
    "tint",
    "to_picture",
]
