"""Run record: command, seeds, support sets, backbone, software and pictures of every figure."""

import platform
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from ai_core.backbone import Backbone
from ai_core.evaluation.data import PLAIN, Dataset, Look, Subset
from ai_core.evaluation.deciding_code import code_digest
from ai_core.evaluation.plan import Identities, Plan, backbone_facts

PACKAGES = (
    "mediclip-dicom",
    "torch",
    "torchvision",
    "open_clip_torch",
    "numpy",
    "pillow",
    "scikit-image",
    "scikit-learn",
)


def resume_key(backbone: Backbone, *, subset: Subset, look: Look = PLAIN) -> dict[str, Any]:
    """Return the facts that all rows of a folder share; a run resumes only with the same."""
    # None for whole pictures, so that a folder of an earlier release, which has no look, resumes.
    shown = None if look == PLAIN else asdict(look)
    return {**backbone_facts(backbone), "subset": subset, "look": shown}


def describe_run(plan: Plan, *, backbone: Backbone, command: Sequence[str]) -> dict[str, Any]:
    """Describe a run, ready for JSON.

    Args:
        plan: what is computed.
        backbone: the frozen tower.
        command: the words of the command line.

    Raises:
        EvaluationError: as `Plan.fits`, or a picture can't be read.
    """
    identities = Identities(backbone, subset=plan.subset, rate=plan.rate, look=plan.look)
    return {
        "command": list(command),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "weights": backbone.weights,
        "ks": list(plan.ks),
        "seeds": list(plan.seeds),
        "false_positive_rate": plan.rate,
        "transfer": plan.transfer,
        "look": asdict(plan.look),
        "methods": [{"method": method.name, **method.describe()} for method in plan.methods],
        "datasets": {
            dataset.name: {
                **_counts(dataset, plan.subset),
                "made": dataset.made,
                "sha256": identities.dataset_digest(dataset),
            }
            for dataset in plan.datasets
        },
        "supports": _supports(plan),
        "software": {"python": platform.python_version(), **_versions()},
        "machine": {"system": platform.platform(), "processor": platform.machine()},
        "code_sha256": code_digest(),
    }


def _counts(dataset: Dataset, subset: Subset) -> dict[str, int]:
    items = dataset.subset(subset)
    abnormal = sum(item.abnormal for item in items)
    return {
        "pool": len(dataset.pool),
        "normal": len(items) - abnormal,
        "abnormal": abnormal,
        "with_mask": sum(bool(item.masks) for item in items),
    }


def _supports(plan: Plan) -> dict[str, dict[str, dict[str, list[str]]]]:
    return {
        dataset.name: {
            f"k={k}": {
                f"seed={seed}": [str(item.path) for item in dataset.support(k, seed)]
                for seed in plan.seeds
            }
            for k in plan.ks
        }
        for dataset in plan.datasets
    }


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found
