"""Honest evaluation: data sets, methods, figures, and runs that can be taken up again."""

from ai_core.evaluation.data.datasets import Dataset, Item, Subset
from ai_core.evaluation.data.folders import from_folder
from ai_core.evaluation.data.lists import from_csv, from_split
from ai_core.evaluation.methods.ablation import ablations
from ai_core.evaluation.methods.baselines import NearestNeighbour, ZeroShot, baselines_for
from ai_core.evaluation.methods.mediclip import Mediclip, Method
from ai_core.evaluation.metrics import at_operating_point, aupro, image_auroc, pixel_auroc
from ai_core.evaluation.plan import Plan, backbone_facts, code_digest
from ai_core.evaluation.report.examples import draw_sheet
from ai_core.evaluation.report.table import cells_of, to_csv, to_markdown
from ai_core.evaluation.rows import Row, RunFolder
from ai_core.evaluation.run import run_plan

__all__ = [
    "Dataset",
    "Item",
    "Mediclip",
    "Method",
    "NearestNeighbour",
    "Plan",
    "Row",
    "RunFolder",
    "Subset",
    "ZeroShot",
    "ablations",
    "at_operating_point",
    "aupro",
    "backbone_facts",
    "baselines_for",
    "cells_of",
    "code_digest",
    "draw_sheet",
    "from_csv",
    "from_folder",
    "from_split",
    "image_auroc",
    "pixel_auroc",
    "run_plan",
    "to_csv",
    "to_markdown",
]
