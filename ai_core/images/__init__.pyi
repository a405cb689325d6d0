from .body import (
    body_box,
    join_boxes,
)
from .checks import (
    check_images,
    check_series_places,
    check_support,
    image_digests,
)
from .drawing import (
    BACKGROUND,
    MARK,
    MUTED,
    TEXT,
    Bools,
    Colour,
    ColourBar,
    Floats,
    Layout,
    Line,
    Notes,
    Panel,
    PanelRow,
    heat_colours,
    save_sheet,
    tile,
    tint,
)
from .picture_files import (
    PICTURE_SUFFIXES,
    between_percentiles,
    read_picture,
)
from .placement import (
    IMAGE_SIZE,
    MOST_TIMES,
    Box,
    Mode,
    Placement,
)
from .views import (
    Views,
)

__all__ = [
    "BACKGROUND",
    "IMAGE_SIZE",
    "MARK",
    "MOST_TIMES",
    "MUTED",
    "PICTURE_SUFFIXES",
    "TEXT",
    "Bools",
    "Box",
    "Colour",
    "ColourBar",
    "Floats",
    "Layout",
    "Line",
    "Mode",
    "Notes",
    "Panel",
    "PanelRow",
    "Placement",
    "Views",
    "between_percentiles",
    "body_box",
    "check_images",
    "check_series_places",
    "check_support",
    "heat_colours",
    "image_digests",
    "join_boxes",
    "read_picture",
    "save_sheet",
    "tile",
    "tint",
]
