"""Plan of a run: its cells, and the digests that identify their rows."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from ai_core.backbone import Backbone
from ai_core.errors import EvaluationError
from ai_core.evaluation.data import PLAIN, Dataset, Item, Look, Subset, digest_of
from ai_core.evaluation.deciding_code import code_digest
from ai_core.evaluation.methods import Method


@dataclass(frozen=True, slots=True)
class Fit:
    """One fit, and the data sets that it is tested on.

    Attributes:
        source: the data set of the support set.
        support: its pictures; empty for a method that takes none.
        method: what is fitted.
        k: pictures in the support set; 0 for a method that takes none.
        seed: of support set and fit.
        tested: data sets to test on.
    """

    source: Dataset
    support: tuple[Item, ...]
    method: Method
    k: int
    seed: int
    tested: tuple[Dataset, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """Cells to compute: data set x method x k x seed.

    Attributes:
        datasets: each is fitted on and tested.
        methods: what is compared.
        ks: support sizes.
        seeds: of support sets and fits.
        subset: the part that figures are made on.
        rate: the false-positive rate asked of operating points.
        transfer: test each fit on every data set, not on its own alone.
        look: crop and tiles of every picture, those of the support sets included.
    """

    datasets: tuple[Dataset, ...]
    methods: tuple[Method, ...]
    ks: tuple[int, ...]
    seeds: tuple[int, ...]
    subset: Subset = "test"
    rate: float = 0.1
    transfer: bool = False
    look: Look = PLAIN

    def __post_init__(self) -> None:
        names = [dataset.name for dataset in self.datasets]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise EvaluationError(f"two data sets are both called {', '.join(twice)}; rename one")
        if not (self.datasets and self.methods):
            raise EvaluationError("a run needs at least one data set and one method")
        if any(k < 2 for k in self.ks):
            raise EvaluationError("k must be at least 2")

    def fits(self) -> tuple[Fit, ...]:
        """Return all fits, those of a method together.

        Raises:
            EvaluationError: a training pool is too small, or a tested part has only one class.
        """
        for dataset in self.datasets:
            dataset.subset(self.subset)
        return tuple(self._fits())

    def items(self) -> Iterator[Item]:
        """Yield every picture that a fit takes or that is tested."""
        for dataset in self.datasets:
            yield from dataset.subset(self.subset)
        for fit in self._fits():
            yield from fit.support

    def _fits(self) -> Iterator[Fit]:
        for dataset in self.datasets:
            for method in self.methods:
                tested = self.datasets if self.transfer and method.fits else (dataset,)
                cells = [(k, seed) for k in self.ks for seed in self.seeds]
                for k, seed in cells if method.fits else [(0, 0)]:
                    yield Fit(
                        source=dataset,
                        support=dataset.support(k, seed) if k else (),
                        method=method,
                        k=k,
                        seed=seed,
                        tested=tested,
                    )


class Identities:
    """Digests of cells; the common parts are computed once.

    Args:
        backbone: the frozen tower.
        subset: the tested part.
        rate: asked of operating points.
        look: crop and tiles of the pictures.
    """

    def __init__(
        self, backbone: Backbone, *, subset: Subset, rate: float, look: Look = PLAIN
    ) -> None:
        self._subset = subset
        self._common = [code_digest(), *backbone_facts(backbone).values(), rate]
        if look != PLAIN:
            self._common.append(asdict(look))
        self._digests: dict[str, str] = {}

    def of(self, fit: Fit, dataset: Dataset) -> str:
        """Compute a SHA-256 over code, backbone, pictures, method, k, seed and rate."""
        parts = [
            *self._common,
            digest_of(fit.support),
            self.dataset_digest(dataset),
            fit.method.name,
            fit.method.describe(),
            fit.k,
            fit.seed,
        ]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def dataset_digest(self, dataset: Dataset) -> str:
        """Compute the SHA-256 of the tested pictures."""
        if dataset.name not in self._digests:
            self._digests[dataset.name] = digest_of(dataset.subset(self._subset))
        return self._digests[dataset.name]


def backbone_facts(backbone: Backbone) -> dict[str, Any]:
    """Return the facts about the backbone that every figure is reported with."""
    return {
        "backbone": backbone.name,
        "backbone_sha256": backbone.sha256,
        "blocks": list(backbone.blocks),
        "precision": backbone.precision,
        "device": backbone.device.type,
    }
