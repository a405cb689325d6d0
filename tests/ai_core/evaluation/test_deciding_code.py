"""Stored figures stay ours when code moves or is explained better, and not when it decides else."""

import pkgutil
from importlib.util import find_spec

import pytest

import ai_core
from ai_core.evaluation import code_digest
from ai_core.evaluation.deciding_code import DECIDING_MODULES, digest_sources

SOURCE = '''"""A module."""

from ai_core.images import IMAGE_SIZE
from pathlib import Path

LIMIT = 0.5
"""A limit."""


def scale(value: float) -> float:
    """Scale a value."""
    # because
    return value * LIMIT * IMAGE_SIZE


class Empty:
    """Nothing."""
'''

NOT_DECIDING = {
    "ai_core.evaluation.alterations": "pictures of bench/scope.py, which keeps no rows",
    "ai_core.arguments": "refuses arguments",
    "ai_core.backbone.autotune": "time; the precision chosen is in the identity",
    "ai_core.backbone.bundled": "weights; their sha256 is in the identity",
    "ai_core.backbone.checkpoint": "weights; their sha256 is in the identity",
    "ai_core.backbone.hub": "weights; their sha256 is in the identity",
    "ai_core.backbone.loading": "sha256, blocks and precision of what it loads are in the identity",
    "ai_core.backbone.malloc": "time and memory",
    "ai_core.backbone.names": "names",
    "ai_core.backbone.naming": "weights; their sha256 is in the identity",
    "ai_core.backbone.provenance": "activation and colours; in the backbone's sha256",
    "ai_core.backbone.published": "architecture and colours; in the backbone's sha256",
    "ai_core.backbone.readings": "activation and colours; in the backbone's sha256",
    "ai_core.backbone.untrained": "weights; their sha256 is in the identity",
    "ai_core.backbone.weights_file": "weights; their sha256 is in the identity",
    "ai_core.detector_info": "saving",
    "ai_core.errors": "errors",
    "ai_core.evaluation.deciding_code": "the digest itself",
    "ai_core.evaluation.data.folders": "finds pictures; their digests are in the identity",
    "ai_core.evaluation.data.lists": "finds pictures; their digests are in the identity",
    "ai_core.evaluation.data.reading_check": "checks that files can be read",
    "ai_core.evaluation.methods.ablation": "presets; their values are in the identity",
    "ai_core.evaluation.plan": "the identity itself",
    "ai_core.evaluation.record": "reports",
    "ai_core.evaluation.report": "reports",
    "ai_core.evaluation.rows": "saving",
    "ai_core.files": "saving",
    "ai_core.images.drawing": "figures",
    "ai_core.model.settings": "a preset's values are in the identity",
    "ai_core.presets": "a preset's values are in the identity",
    "ai_core.pretraining": "makes weights; their sha256 is in the identity",
    "ai_core.progress": "reports",
    "ai_core.storage": "saving",
    "ai_core.stored": "saving",
    "ai_core.synthesis.settings": "a preset's values are in the identity",
    "ai_core.series_smoothing": "findings in a series; no figure of pictures takes it",
}
"""Modules, or packages with all of their modules, that no figure depends on; and why."""


def digest(source: str) -> str:
    return digest_sources({"module": source})


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("    # because\n", "    # for another reason\n    # on two lines\n"),
        ('"""Scale a value."""', '"""Multiply.\n\n    At length.\n    """'),
        ('"""A limit."""', '"""The limit."""'),
        ('"""A module."""', ""),
        ("value * LIMIT * IMAGE_SIZE", "(\n        value * LIMIT\n        * IMAGE_SIZE\n    )"),
        ("from ai_core.images import", "from ai_core.pictures.checks import"),
    ],
    ids=["comment", "docstring", "attribute", "no docstring", "layout", "moved import"],
)
def test_words_layout_and_moves_change_nothing(old: str, new: str):
    assert old in SOURCE
    assert digest(SOURCE.replace(old, new)) == digest(SOURCE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("LIMIT = 0.5", "LIMIT = 0.6"),
        ("LIMIT = 0.5", 'LIMIT = "0.5"'),
        ("value * LIMIT * IMAGE_SIZE", "value * LIMIT / IMAGE_SIZE"),
        ("value * LIMIT", "value * 0.5 * LIMIT"),
        ("import IMAGE_SIZE", "import FRAME as IMAGE_SIZE"),
        ("from pathlib import", "from elsewhere import"),
    ],
    ids=["constant", "type", "operator", "factor", "other name", "other library"],
)
def test_what_decides_changes_the_digest(old: str, new: str):
    assert old in SOURCE
    assert digest(SOURCE.replace(old, new)) != digest(SOURCE)


def test_a_module_counts_under_its_lasting_name():
    assert digest_sources({"a": "x = 1", "b": "x = 2"}) == digest_sources(
        {"b": "x = 2", "a": "x = 1"}
    )
    assert digest_sources({"a": "x = 1", "b": "x = 2"}) != digest_sources(
        {"a": "x = 2", "b": "x = 1"}
    )


def test_the_whole_list_has_one_digest():
    assert len(code_digest()) == 64
    assert code_digest() == code_digest()
    for module in DECIDING_MODULES.values():
        assert find_spec(module) is not None, f"{module} has moved: mend DECIDING_MODULES"


def test_no_module_is_forgotten():
    """A new module is deciding or not; whoever adds it says so, as DECIDING_MODULES explains."""
    found = {
        module.name
        for module in pkgutil.walk_packages(ai_core.__path__, "ai_core.")
        if not module.ispkg or module.name in NOT_DECIDING
    }
    deciding = set(DECIDING_MODULES.values())
    assert len(deciding) == len(DECIDING_MODULES)
    undecided = {
        name
        for name in found - deciding
        if not any(name == one or name.startswith(f"{one}.") for one in NOT_DECIDING)
    }
    assert not undecided, (
        f"{sorted(undecided)}: add each to DECIDING_MODULES of ai_core.evaluation.deciding_code, "
        "or to NOT_DECIDING here with the reason why no figure depends on it"
    )
    assert not deciding & set(NOT_DECIDING)
    assert set(NOT_DECIDING) <= found
