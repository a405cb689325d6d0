"""SHA-256 over the code that figures depend on, whatever its files, comments and layout."""

import ast
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from typing import Any

# A module belongs here if another body of one of its functions could change a figure that is
# computed from the same pictures, backbone, preset, k and seed. It does not if its result is
# itself part of a row's identity: a preset's values, the backbone's sha256 and precision, the
# digests of the pictures. Nor do modules that only report, save, show or find files.
# The key is a lasting name: it stays when the module moves, so that a move keeps all figures.
DECIDING_MODULES: Mapping[str, str] = {
    "backbone/architecture": "ai_core.backbone.architecture",
    "backbone/backbone": "ai_core.backbone.backbone",
    "backbone/cuda_graphs": "ai_core.backbone.cuda_graphs",
    "backbone/families": "ai_core.backbone.families",
    "backbone/int8": "ai_core.backbone.int8",
    "backbone/residual": "ai_core.backbone.residual",
    "backbone/runtime": "ai_core.backbone.runtime",
    "backbone/tiles": "ai_core.backbone.tiles",
    "backbone/timm_tower": "ai_core.backbone.timm_tower",
    "backbone/tower": "ai_core.backbone.tower",
    "backbone/triton_kernels": "ai_core.backbone.triton_kernels",
    "detector": "ai_core.detector",
    "evaluation/baselines": "ai_core.evaluation.methods.baselines",
    "evaluation/datasets": "ai_core.evaluation.data.datasets",
    "evaluation/mediclip": "ai_core.evaluation.methods.mediclip",
    "evaluation/metrics": "ai_core.evaluation.metrics",
    "evaluation/pictures": "ai_core.evaluation.data.pictures",
    "evaluation/promises": "ai_core.evaluation.promises",
    "evaluation/run": "ai_core.evaluation.run",
    "evaluation/token_cache": "ai_core.evaluation.data.token_cache",
    "fitting/blend": "ai_core.fitting.blend",
    "fitting/calibration": "ai_core.fitting.calibration",
    "fitting/fit": "ai_core.fitting.fit",
    "fitting/pool": "ai_core.fitting.pool",
    "fitting/support": "ai_core.fitting.support",
    "fitting/trainer": "ai_core.fitting.trainer",
    "image_score": "ai_core.image_score",
    "images/body": "ai_core.images.body",
    "images/checks": "ai_core.images.checks",
    "images/picture_files": "ai_core.images.picture_files",
    "images/placement": "ai_core.images.placement",
    "images/views": "ai_core.images.views",
    "model/anomaly_map": "ai_core.model.anomaly_map",
    "model/blend": "ai_core.model.blend",
    "model/free_text": "ai_core.model.free_text",
    "model/head": "ai_core.model.head",
    "model/losses": "ai_core.model.losses",
    "model/patch_bank": "ai_core.model.patch_bank",
    "model/prompts": "ai_core.model.prompts",
    "model/scope": "ai_core.model.scope",
    "normal_tail": "ai_core.normal_tail",
    "operating_point": "ai_core.operating_point",
    "scope/alterations": "ai_core.scope.alterations",
    "scope/facts": "ai_core.scope.facts",
    "scope/fitting": "ai_core.scope.fitting",
    "scope/guard": "ai_core.scope.guard",
    "scope/measures": "ai_core.scope.measures",
    "scope/pixels": "ai_core.scope.pixels",
    "synthesis/boxes": "ai_core.synthesis.boxes",
    "synthesis/cutpaste": "ai_core.synthesis.cutpaste",
    "synthesis/deformation": "ai_core.synthesis.deformation",
    "synthesis/distributions": "ai_core.synthesis.distributions",
    "synthesis/filters": "ai_core.synthesis.filters",
    "synthesis/foreground": "ai_core.synthesis.foreground",
    "synthesis/intensity": "ai_core.synthesis.intensity",
    "synthesis/masks": "ai_core.synthesis.masks",
    "synthesis/plans": "ai_core.synthesis.plans",
    "synthesis/poisson": "ai_core.synthesis.poisson",
    "synthesis/sampler": "ai_core.synthesis.sampler",
    "synthesis/seeded_stream": "ai_core.synthesis.seeded_stream",
}
"""Deciding modules: lasting name to dotted name."""

_PACKAGE = "ai_core"


@cache
def code_digest() -> str:
    """Compute the digest over all `DECIDING_MODULES`."""
    return digest_sources({name: _source(module) for name, module in DECIDING_MODULES.items()})


def digest_sources(sources: Mapping[str, str]) -> str:
    """Compute a SHA-256 over modules' syntax trees.

    Comments, docstrings, formatting and the places that names of this package are imported from
    don't count; every other token does.

    Args:
        sources: Python source by lasting name.
    """
    digest = hashlib.sha256()
    for name, source in sorted(sources.items()):
        digest.update(f"{name}\n{json.dumps(_canonical(source))}\n".encode())
    return digest.hexdigest()


def _source(module: str) -> str:
    spec = find_spec(module)
    loader: Any = spec.loader if spec else None
    source: str | None = loader.get_source(module) if loader else None
    if source is None:
        raise ModuleNotFoundError(f"{module} has no source to digest; mend DECIDING_MODULES")
    return source


def _canonical(source: str) -> list[Any]:
    """Return the names taken from this package, and the rest of the tree as plain lists."""
    imported: set[str] = set()
    tree = _Stripped(imported).visit(ast.parse(source))
    return [sorted(imported), _plain(tree)]


class _Stripped(ast.NodeTransformer):
    """Removes strings that stand alone (docstrings) and imports from this package.

    Args:
        imported: receives the names that such imports take.
    """

    def __init__(self, imported: set[str]) -> None:
        self._imported = imported

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        """Drop a docstring."""
        alone = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if alone else self.generic_visit(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        """Keep the names alone of an import from this package."""
        if (node.module or "").partition(".")[0] != _PACKAGE:
            return node
        self._imported |= {f"{alias.name} as {alias.asname or alias.name}" for alias in node.names}
        return None


def _plain(node: Any) -> Any:
    """Return a syntax tree as lists; empty fields are left out, as Python's releases differ."""
    if isinstance(node, ast.AST):
        fields = [
            [name, _plain(value)]
            for name, value in ast.iter_fields(node)
            if value is not None and value != []
        ]
        return [type(node).__name__, *fields]
    if isinstance(node, list):
        return [_plain(one) for one in node]
    # repr tells 1 from 1.0, True and "1"
    return repr(node)
