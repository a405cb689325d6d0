"""Figures against values by hand and against the slow definition."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import scipy.ndimage

from ai_core.errors import EvaluationError
from ai_core.evaluation import at_operating_point, aupro, image_auroc, pixel_auroc

ndimage: Any = scipy.ndimage  # scipy ships no types


def f32(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def test_image_auroc_is_the_share_of_pairs_in_the_right_order() -> None:
    abnormal = np.array([False, False, True, True])
    assert image_auroc(f32(1, 3, 2, 4), abnormal) == 3 / 4
    assert image_auroc(f32(1, 2, 2, 2), abnormal) == 3 / 4
    assert image_auroc(f32(0, 0, 0, 0), abnormal) == 1 / 2


def test_pixel_auroc_takes_all_pixels_together() -> None:
    maps = np.stack([f32(1, 2, 3, 4).reshape(2, 2), f32(0, 0, 0, 5).reshape(2, 2)])
    truths = np.zeros((2, 2, 2), dtype=bool)
    truths[0, 1, 1] = True
    assert pixel_auroc(maps, truths) == pytest.approx(6 / 7)


def test_aupro_by_hand() -> None:
    """Regions {9} and {0, 2}; normal pixels 8, 1, 1, 0, 0.

    From the highest threshold down, (false-positive rate, overlap) is (0, 1/2), (1/5, 1/2),
    (1/5, 3/4), (3/5, 3/4), (1, 1).
    """
    maps = f32(9, 8, 1, 1, 0, 0, 0, 2).reshape(1, 2, 4)
    truths = np.array([1, 0, 0, 0, 0, 0, 1, 1], dtype=bool).reshape(1, 2, 4)
    assert aupro(maps, truths, limit=0.2) == pytest.approx(1 / 2)
    assert aupro(maps, truths, limit=0.4) == pytest.approx((0.2 / 2 + 0.2 * 3 / 4) / 0.4)
    assert aupro(maps, truths, limit=1.0) == pytest.approx(0.1 + 0.3 + 0.4 * 7 / 8)


def slow_aupro(maps: np.ndarray, truths: np.ndarray, limit: float) -> float:
    """By the definition: at every threshold, the mean over regions of the share above it."""
    points = [(0.0, 0.0)]
    for threshold in sorted(set(maps.ravel().tolist()), reverse=True):
        above = maps >= threshold
        overlaps = []
        for one, truth in zip(above, truths, strict=True):
            regions, count = ndimage.label(truth, structure=np.ones((3, 3)))
            overlaps += [float(one[regions == n].mean()) for n in range(1, count + 1)]
        points.append((float(above[~truths].mean()), float(np.mean(overlaps))))
    area = 0.0
    for (x0, y0), (x1, y1) in pairwise(points):
        if x0 >= limit:
            break
        if x1 > limit:
            y1 = y0 + (y1 - y0) * (limit - x0) / (x1 - x0)
            x1 = limit
        area += (x1 - x0) * (y0 + y1) / 2
    return area / limit


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("levels", [7, 100_000])
def test_aupro_equals_its_slow_definition(seed: int, levels: int) -> None:
    draws = np.random.default_rng(seed)
    truths = draws.random((4, 12, 12)) < 0.15
    truths[2] = False
    noise = draws.integers(0, levels, truths.shape) / levels
    maps = (noise + 0.4 * truths).astype(np.float32)
    assert aupro(maps, truths) == pytest.approx(slow_aupro(maps, truths, 0.3), abs=1e-6)


def test_a_perfect_map_has_aupro_1() -> None:
    truths = np.zeros((1, 8, 8), dtype=bool)
    truths[0, 2:4, 2:4] = truths[0, 6, 6] = True
    assert aupro(truths.astype(np.float32), truths) == pytest.approx(1)


def test_the_promise_of_k_normals_against_what_is_seen() -> None:
    normals = [float(n) for n in range(1, 20)]
    abnormal = np.array([False] * 4 + [True] * 2)
    scores = f32(5, 18, 19, 19.5, 30, 3)
    point = at_operating_point(normals, rate=0.05, scores=scores, abnormal=abnormal)
    assert (point.promised, point.seen, point.sensitivity) == (0.05, 1 / 4, 1 / 2)
    looser = at_operating_point(normals, rate=0.1, scores=scores, abnormal=abnormal)
    assert (looser.promised, looser.seen) == (0.1, 2 / 4)


@pytest.mark.parametrize("k", [4, 16, 32])
def test_below_the_floor_the_floor_is_promised(k: int) -> None:
    scores, abnormal = f32(k, k + 1, k - 0.5, k + 2), np.array([False, False, True, True])
    point = at_operating_point(range(1, k + 1), rate=0.001, scores=scores, abnormal=abnormal)
    assert point.promised == pytest.approx(1 / (k + 1))
    assert (point.seen, point.sensitivity) == (1 / 2, 1 / 2)


def test_one_class_or_a_broken_score_is_refused() -> None:
    with pytest.raises(EvaluationError, match="both needed"):
        image_auroc(f32(1, 2), np.array([True, True]))
    with pytest.raises(EvaluationError, match="not finite"):
        image_auroc(f32(1, float("nan")), np.array([True, False]))
    with pytest.raises(EvaluationError, match="both needed"):
        aupro(np.zeros((1, 2, 2), np.float32), np.zeros((1, 2, 2), bool))
