"""Labelled data sets: folders, lists, pictures, and the tokens that the tower makes of them."""

from ai_core.evaluation.data.datasets import (
    Dataset,
    Item,
    Subset,
    digest_of,
    units_of,
)
from ai_core.evaluation.data.folders import (
    from_folder,
    is_mask,
)
from ai_core.evaluation.data.lists import (
    from_csv,
    from_split,
)
from ai_core.evaluation.data.pictures import (
    FRAME,
    PLAIN,
    Look,
    read_item,
    read_mask,
    read_support,
    read_truth,
    to_frame,
)
from ai_core.evaluation.data.reading_check import (
    check_items,
)
from ai_core.evaluation.data.token_cache import (
    Report,
    TokenFile,
    encode_items,
)

__all__ = [
    "FRAME",
    "PLAIN",
    "Dataset",
    "Item",
    "Look",
    "Report",
    "Subset",
    "TokenFile",
    "check_items",
    "digest_of",
    "encode_items",
    "from_csv",
    "from_folder",
    "from_split",
    "is_mask",
    "read_item",
    "read_mask",
    "read_support",
    "read_truth",
    "to_frame",
    "units_of",
]
