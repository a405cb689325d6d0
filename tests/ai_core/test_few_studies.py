"""Six normal CT studies and the backbone in the box: the verdict keeps its promise.

With heads on halves of the studies that calibrated a head on all of them, a rate of 20 % flagged
8 to 100 % of fresh normals here.
"""

from __future__ import annotations

import pytest
import torch
from scipy.stats import binom  # type: ignore[attr-defined]  # scipy ships no types

from ai_core import (
    DEFAULT,
    Detector,
    OperatingPoint,
    Verdict,
    aggregate,
    fit_calibrated,
    load_backbone,
)
from tests.ai_core.conftest import seeded
from tests.factories.thorax_ct import thorax_study

K, SLICES, NORMALS, LESIONS, SEEDS = 6, 12, 8, 5, (1, 2)


Judged = list[tuple[OperatingPoint, list[float], list[float]]]


@pytest.fixture(scope="module")
def judged() -> Judged:
    """Operating point, and scores of fresh normal and of lesioned studies, for each seed."""
    backbone = load_backbone(weights="bundled", device="cpu")
    found = []
    for seed in SEEDS:
        first = 1000 * seed
        studies = [thorax_study(first + n, slices=SLICES) for n in range(K)]
        fit = fit_calibrated(
            torch.cat(studies),
            [n for n in range(K) for _ in range(SLICES)],
            backbone=backbone,
            preset=DEFAULT,
            generator=seeded(seed),
        )

        found.append(
            (
                OperatingPoint(fit.normal_scores, 0.2),
                [study_score(fit.detector, first + 100 + n) for n in range(NORMALS)],
                [study_score(fit.detector, first + 500 + n, lesion=True) for n in range(LESIONS)],
            )
        )
    return found


def study_score(detector: Detector, number: int, *, lesion: bool = False) -> float:
    images = thorax_study(number, slices=SLICES, lesion=lesion)
    return aggregate(detector.score(images).scores.tolist())


def test_fresh_normals_are_flagged_about_as_often_as_promised(judged: Judged) -> None:
    total = NORMALS * len(SEEDS)
    flagged = sum(
        point.verdict(score) is Verdict.ABNORMAL
        for point, normals, _ in judged
        for score in normals
    )
    # averaging over heads makes the rule careful: fewer than promised is no broken promise
    assert flagged <= binom.interval(0.95, total, 0.2)[1]


def test_at_10_percent_fewer_are_flagged_although_6_normals_cannot_promise_it(
    judged: Judged,
) -> None:
    total = NORMALS * len(SEEDS)
    within = sum(point.p_value(score) <= 0.1 for point, normals, _ in judged for score in normals)
    assert within <= binom.interval(0.95, total, 0.1)[1]


def test_lesions_are_found_at_20_percent(judged: Judged) -> None:
    found = [
        point.verdict(score) is Verdict.ABNORMAL
        for point, _, lesions in judged
        for score in lesions
    ]
    assert sum(found) >= 0.9 * len(found)


def test_p_values_of_lesions_are_marked_where_counting_could_not_reach_them(judged: Judged) -> None:
    for point, _, lesions in judged:
        for score in lesions:
            assert point.extrapolated(score) == (point.p_value(score) < 1 / (K + 1))
