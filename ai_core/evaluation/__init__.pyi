from .data import (
    PLAIN,
    Dataset,
    Item,
    Look,
    Subset,
    from_csv,
    from_folder,
    from_split,
    is_mask,
)
from .deciding_code import (
    code_digest,
)
from .methods import (
    Mediclip,
    Method,
    NearestNeighbour,
    ZeroShot,
    ablations,
    baselines_for,
)
from .metrics import (
    aupro,
    image_auroc,
    pixel_auroc,
)
from .plan import (
    Plan,
    backbone_facts,
)
from .promises import (
    at_operating_point,
)
from .record import (
    describe_run,
    resume_key,
)
from .report import (
    PAPER_BACKBONE,
    SHORT,
    TITLES,
    PaperCell,
    TableName,
    cells_of,
    draw_reliability,
    draw_sheet,
    make_plan,
    method_title,
    needed_sets,
    paper_cells,
    pivot,
    promise_cells,
    to_csv,
    to_markdown,
)
from .rows import (
    Row,
    RunFolder,
    one_run,
)
from .run import (
    run_plan,
)

__all__ = [
    "PAPER_BACKBONE",
    "PLAIN",
    "SHORT",
    "TITLES",
    "Dataset",
    "Item",
    "Look",
    "Mediclip",
    "Method",
    "NearestNeighbour",
    "PaperCell",
    "Plan",
    "Row",
    "RunFolder",
    "Subset",
    "TableName",
    "ZeroShot",
    "ablations",
    "at_operating_point",
    "aupro",
    "backbone_facts",
    "baselines_for",
    "cells_of",
    "code_digest",
    "describe_run",
    "draw_reliability",
    "draw_sheet",
    "from_csv",
    "from_folder",
    "from_split",
    "image_auroc",
    "is_mask",
    "make_plan",
    "method_title",
    "needed_sets",
    "one_run",
    "paper_cells",
    "pivot",
    "pixel_auroc",
    "promise_cells",
    "resume_key",
    "run_plan",
    "to_csv",
    "to_markdown",
]
