"""Rates promised and seen on synthetic thorax CT studies, with few normals to calibrate on.

    python bench/few_studies.py --k 6 --seeds 0,1,2,3,4,5,6,7,8,9

For each seed k normal studies are fitted with 12 images of each, calibrated on all of theirs, and
fresh normal and lesioned studies are judged by their p-values. The backbone is the one in the box;
the studies are those of `tests/factories/thorax_ct.py`.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

import torch
from scipy.stats import binom  # type: ignore[attr-defined]  # scipy ships no types

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ai_core import (
    Detector,
    OperatingPoint,
    aggregate,
    fit_calibrated,
    get_preset,
    load_backbone,
)
from tests.factories.thorax_ct import thorax_study

RATES = (0.1, 0.2)
IMAGES_PER_STUDY = 12


def score(detector: Detector, number: int, *, slices: int, lesion: bool) -> float:
    """The study score, as the node aggregates it."""
    images = thorax_study(number, slices=slices, lesion=lesion)
    return aggregate(detector.score(images).scores.tolist())


def main() -> None:
    """Print a line for each seed, then the means with the binomial band."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--k", type=int, default=6)
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--slices", type=int, default=24)
    parser.add_argument("--normals", type=int, default=10)
    parser.add_argument("--lesions", type=int, default=5)
    parser.add_argument("--preset", default="default")
    asked = parser.parse_args()
    backbone = load_backbone(weights="bundled", device="cpu")
    step = max(1, asked.slices // IMAGES_PER_STUDY)
    shares: dict[tuple[float, bool], list[float]] = {}
    for seed in map(int, asked.seeds.split(",")):
        first = 1000 * seed
        studies = [thorax_study(first + n, slices=asked.slices) for n in range(asked.k)]
        taken = [study[step // 2 :: step] for study in studies]
        began = time.perf_counter()
        fit = fit_calibrated(
            torch.cat(taken),
            [n for n, images in enumerate(taken) for _ in images],
            backbone=backbone,
            preset=get_preset(asked.preset),
            generator=torch.Generator().manual_seed(seed),
            held_out=lambda n, studies=studies: studies[n].split(8),  # type: ignore[misc]
        )
        seconds = time.perf_counter() - began
        point = OperatingPoint(fit.normal_scores, 0.5)
        line = [f"seed {seed}, fitted in {seconds:.0f} s"]
        p_values = {
            lesion: [
                point.p_value(
                    score(
                        fit.detector,
                        first + (500 if lesion else 100) + n,
                        slices=asked.slices,
                        lesion=lesion,
                    )
                )
                for n in range(asked.lesions if lesion else asked.normals)
            ]
            for lesion in (False, True)
        }
        for rate in RATES:
            for lesion, values in p_values.items():
                share = sum(p <= rate for p in values) / len(values)
                shares.setdefault((rate, lesion), []).append(share)
                line.append(f"{rate:.0%} {'lesions' if lesion else 'normals'} {share:.0%}")
        print("; ".join(line), flush=True)
    for (rate, lesion), values in shares.items():
        mean = statistics.fmean(values)
        if lesion:
            print(f"k = {asked.k}, {rate:.0%} asked: {mean:.1%} of lesioned studies found")
            continue
        total = asked.normals * len(values)
        low, high = (bound / total for bound in binom.interval(0.95, total, rate))
        print(
            f"k = {asked.k}, {rate:.0%} asked: {mean:.1%} of fresh normals flagged "
            f"(binomial band {low:.1%} to {high:.1%})"
        )


if __name__ == "__main__":
    main()
