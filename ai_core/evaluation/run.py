"""Run of a plan: fits and scores its cells, one row after another."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ai_core.backbone import Backbone
from ai_core.evaluation.data import (
    FRAME,
    Dataset,
    Item,
    Look,
    Report,
    TokenFile,
    check_items,
    encode_items,
    read_support,
    read_truth,
    to_frame,
    units_of,
)
from ai_core.evaluation.methods import Fitted
from ai_core.evaluation.metrics import aupro, image_auroc, pixel_auroc
from ai_core.evaluation.plan import Fit, Identities, Plan
from ai_core.evaluation.promises import (
    FIXED_RATES,
    AtOperatingPoint,
    at_operating_point,
    reliability,
)
from ai_core.evaluation.report import choose_examples, save_examples
from ai_core.evaluation.rows import Row, RunFolder
from ai_core.images import IMAGE_SIZE, Mode
from ai_core.progress import FitProgress


def run_plan(
    plan: Plan,
    *,
    backbone: Backbone,
    folder: RunFolder,
    cache: Path,
    report: Report,
    made: Callable[[Row], None] | None = None,
) -> tuple[Row, ...]:
    """Compute every cell that the folder does not hold yet; each row is safe once it is made.

    The frozen tower sees a tested picture once for all cells of a geometry: its tokens are in the
    cache. In memory are one fit, the tokens of a few pictures, and the maps of the pictures of one
    data set whose lesion is known (0.2 MB each; some ten times that while they are sorted).

    Args:
        plan: what to compute.
        backbone: the frozen tower.
        folder: where rows go.
        cache: folder of the tokens.
        report: called after every step.
        made: given each row that was not there before, once it is safe.

    Returns:
        The rows of the plan's cells, in the plan's order.

    Raises:
        EvaluationError, PictureError: data from which no figure can be made.
    """
    fits = plan.fits()
    identities = Identities(backbone, subset=plan.subset, rate=plan.rate, look=plan.look)
    cells = [(fit, {d.name: identities.of(fit, d) for d in fit.tested}) for fit in fits]
    total = sum(len(wanted) for _, wanted in cells)
    shelf = _TokenCache(plan, backbone=backbone, cache=cache, report=report)
    done = 0
    if any(not folder.has(identity) for _, wanted in cells for identity in wanted.values()):
        check_items(plan.items(), report=report)
    for fit, wanted in cells:
        missing = [data for data in fit.tested if not folder.has(wanted[data.name])]
        done += len(wanted) - len(missing)
        report("rows", done, total)
        if not missing:
            continue
        with _stopwatch() as fit_seconds:
            fitted = _fit(fit, look=plan.look, backbone=backbone, report=report)
        for dataset in missing:
            tested = shelf.get(dataset, fit.method.geometry)
            measured = _measure(fitted, tested, device=backbone.device, report=report)
            if _is_shown(fit, dataset, plan):
                save_examples(folder.path, dataset.name, measured.examples)
            row = _row(
                fit,
                dataset,
                tested=tested,
                measured=measured,
                promises=_measure_promises(fitted, tested, measured, rate=plan.rate),
                fit_seconds=fit_seconds(),
                identity=wanted[dataset.name],
            )
            folder.add(row)
            if made:
                made(row)
            done += 1
            report("rows", done, total)
    order = [identity for _, wanted in cells for identity in wanted.values()]
    return tuple(folder.row(identity) for identity in order)


@dataclass(frozen=True, slots=True)
class _Tested:
    """A data set's tested pictures under one geometry."""

    items: tuple[Item, ...]
    tokens: TokenFile
    truths: tuple[Tensor | None, ...]

    @property
    def abnormal(self) -> np.ndarray:
        return np.array([item.abnormal for item in self.items])

    @property
    def measurable(self) -> tuple[int, ...]:
        """Pictures that take part in pixel figures; none unless some lesion is drawn."""
        if not any(
            item.abnormal and truth is not None
            for item, truth in zip(self.items, self.truths, strict=True)
        ):
            return ()
        return tuple(n for n, truth in enumerate(self.truths) if truth is not None)


@dataclass(frozen=True, slots=True)
class _Measured:
    """Scores and maps of one fit on a data set.

    Attributes:
        scores: image scores, shape (N,).
        highest: maxima of the maps on the pictures, shape (N,).
        in_scope: the scope guard's answer, shape (N,).
        maps: of the measurable pictures, in the frame.
        examples: a few maps by index, in the frame.
        seconds: spent in scoring.
    """

    scores: np.ndarray
    highest: np.ndarray
    in_scope: np.ndarray
    maps: np.ndarray
    examples: dict[int, np.ndarray]
    seconds: float


class _TokenCache:
    """Encodes each data set once for each geometry."""

    def __init__(self, plan: Plan, *, backbone: Backbone, cache: Path, report: Report) -> None:
        self._plan = plan
        self._backbone = backbone
        self._cache = cache
        self._report = report
        self._kept: dict[tuple[str, Mode], _Tested] = {}

    def get(self, dataset: Dataset, geometry: Mode) -> _Tested:
        key = (dataset.name, geometry)
        if key not in self._kept:
            items = dataset.subset(self._plan.subset)
            tokens = encode_items(
                items,
                geometry=geometry,
                look=self._plan.look,
                backbone=self._backbone,
                folder=self._cache,
                report=self._report,
            )
            truths = tuple(
                read_truth(item, rows=placement.rows, columns=placement.columns)
                for item, placement in zip(items, tokens.placements, strict=True)
            )
            self._kept[key] = _Tested(items=items, tokens=tokens, truths=truths)
        return self._kept[key]


def _fit(fit: Fit, *, look: Look, backbone: Backbone, report: Report) -> Fitted:
    def progress(state: FitProgress) -> None:
        report(f"fit: {state.stage}", state.step, state.steps)

    images = torch.zeros(0, 3, IMAGE_SIZE, IMAGE_SIZE)
    if fit.support:
        images = read_support(fit.support, geometry=fit.method.geometry, look=look)
    return fit.method.fit(
        images,
        units_of(fit.support),
        backbone=backbone,
        generator=torch.Generator().manual_seed(fit.seed),
        progress=progress,
    )


def _measure(fitted: Fitted, tested: _Tested, *, device: torch.device, report: Report) -> _Measured:
    total = len(tested.items)
    place = {index: n for n, index in enumerate(tested.measurable)}
    wanted = choose_examples(tested.items)
    scores, highest = np.empty(total, np.float32), np.empty(total, np.float32)
    maps = np.empty((len(place), FRAME, FRAME), np.float32)
    examples: dict[int, np.ndarray] = {}
    seconds = 0.0
    start = 0
    for tokens in tested.tokens.batches(device):
        with _stopwatch() as elapsed:
            found = fitted.score(tokens)
        seconds += elapsed()
        end = start + len(tokens)
        framed = to_frame(found.maps, tested.tokens.placements[start:end]).numpy()
        scores[start:end] = found.scores.numpy()
        highest[start:end] = framed.max(axis=(1, 2))
        for index, one in enumerate(framed, start=start):
            if index in place:
                maps[place[index]] = one
            if index in wanted:
                examples[index] = one.copy()
        start = end
        report("score pictures", end, total)
    return _Measured(
        scores=scores,
        highest=highest,
        in_scope=fitted.in_scope(tested.tokens.facts).numpy(),
        maps=maps,
        examples=examples,
        seconds=seconds,
    )


@dataclass(frozen=True, slots=True)
class _Promises:
    """Figures of units: operating points, reliability, and shares out of scope."""

    points: tuple[AtOperatingPoint, ...]
    reliability: tuple[float, ...]
    normal_out_of_scope: float
    abnormal_out_of_scope: float


def _measure_promises(
    fitted: Fitted, tested: _Tested, measured: _Measured, *, rate: float
) -> _Promises:
    """Measure units: a unit has its highest score, and is abnormal if one of its pictures is.

    As in the node, a picture out of scope has no score: it is never flagged, and a unit that has
    no other is out of scope.
    """
    units = np.array(units_of(tested.items))
    scores = np.full(units.max() + 1, -np.inf, dtype=np.float32)
    np.maximum.at(scores, units, np.where(measured.in_scope, measured.scores, -np.inf))
    abnormal = np.zeros(len(scores), dtype=bool)
    np.logical_or.at(abnormal, units, tested.abnormal)
    stopped = np.isneginf(scores)
    points: tuple[AtOperatingPoint, ...] = ()
    within: tuple[float, ...] = ()
    if fitted.normal_scores is not None:
        points = tuple(
            at_operating_point(
                fitted.normal_scores,
                rate=each,
                scores=scores,
                abnormal=abnormal,
                rule=fitted.rule,
            )
            for each in (rate, *FIXED_RATES)
        )
        within, _ = reliability(
            fitted.normal_scores, scores=scores, abnormal=abnormal, rule=fitted.rule
        )
    return _Promises(
        points=points,
        reliability=within,
        normal_out_of_scope=float(stopped[~abnormal].mean()),
        abnormal_out_of_scope=float(stopped[abnormal].mean()),
    )


def _row(
    fit: Fit,
    dataset: Dataset,
    *,
    tested: _Tested,
    measured: _Measured,
    promises: _Promises,
    fit_seconds: float,
    identity: str,
) -> Row:
    known = tested.measurable
    point = promises.points[0] if promises.points else None
    truths = np.array([truth.numpy() for truth in _known(tested.truths, known)], dtype=bool)
    return Row(
        dataset=dataset.name,
        fitted_on=fit.source.name,
        preset=fit.method.preset_name,
        method=fit.method.name,
        geometry=fit.method.geometry,
        k=fit.k,
        seed=fit.seed,
        image_auroc=image_auroc(measured.scores, tested.abnormal),
        image_auroc_of_max=image_auroc(measured.highest, tested.abnormal),
        pixel_auroc=pixel_auroc(measured.maps, truths) if known else None,
        aupro=aupro(measured.maps, truths) if known else None,
        sensitivity=None if point is None else point.sensitivity,
        fpr_promised=None if point is None else point.promised,
        fpr_seen=None if point is None else point.seen,
        fit_seconds=round(fit_seconds, 3),
        images_per_second=round(
            len(tested.items) / (tested.tokens.encode_seconds + measured.seconds), 3
        ),
        identity=identity,
        sensitivity_of_oracle=None if point is None else point.oracle,
        normal_out_of_scope=promises.normal_out_of_scope,
        abnormal_out_of_scope=promises.abnormal_out_of_scope,
        points=promises.points,
        reliability=promises.reliability,
        normals=int((~tested.abnormal).sum()),
        abnormals=int(tested.abnormal.sum()),
    )


def _known(truths: Sequence[Tensor | None], indices: Sequence[int]) -> Iterator[Tensor]:
    for index in indices:
        truth = truths[index]
        assert truth is not None
        yield truth


def _is_shown(fit: Fit, dataset: Dataset, plan: Plan) -> bool:
    """Return whether this is the first method at the largest k, first seed, own data set."""
    first = (plan.methods[0], max(plan.ks, default=0), plan.seeds[0])
    return fit.source is dataset and (fit.method, fit.k, fit.seed) == first


@contextmanager
def _stopwatch() -> Iterator[Callable[[], float]]:
    """Give a function that returns, after the block, the seconds that the block took."""
    began = time.perf_counter()
    ended: list[float] = []
    yield lambda: ended[0]
    ended.append(time.perf_counter() - began)
