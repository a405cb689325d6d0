from .examples import (
    choose_examples,
    draw_sheet,
    save_examples,
)
from .paper import (
    PAPER_BACKBONE,
    TITLES,
    PaperSet,
    TableName,
    needed_sets,
)
from .paper_tables import (
    PaperCell,
    make_plan,
    paper_cells,
    pivot,
)
from .reliability import (
    draw_reliability,
)
from .table import (
    SHORT,
    cells_of,
    method_title,
    promise_cells,
    to_csv,
    to_markdown,
)

__all__ = [
    "PAPER_BACKBONE",
    "SHORT",
    "TITLES",
    "PaperCell",
    "PaperSet",
    "TableName",
    "cells_of",
    "choose_examples",
    "draw_reliability",
    "draw_sheet",
    "make_plan",
    "method_title",
    "needed_sets",
    "paper_cells",
    "pivot",
    "promise_cells",
    "save_examples",
    "to_csv",
    "to_markdown",
]
