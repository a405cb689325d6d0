"""Volumes found over true, and false findings, on synthetic thorax CT studies with one lesion each.

    python bench/findings.py --k 6 --seeds 4,5,6,7

For each seed k normal studies are fitted with 12 images of each and calibrated on all of theirs, as
in `bench/few_studies.py`; lesioned studies that are abnormal at the rate asked for are searched for
findings as the node does. The lesion has the contrast of soft tissue in air (some 860 HU). The
backbone is the one in the box; slices are 5 mm apart and 360 mm wide.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ai_core import OperatingPoint, fit_calibrated, get_preset, load_backbone
from mediclip_dicom.results import find
from tests.factories.readings import make_reading
from tests.factories.spaces import slices_of, space
from tests.factories.thorax_ct import SIDE, thorax_lesion, thorax_study

STEP, SPACING = 5.0, 360 / SIDE


def main() -> None:
    """Print a line for each seed, then the summary."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--k", type=int, default=6)
    parser.add_argument("--seeds", default="4,5,6,7")
    parser.add_argument("--rate", type=float, default=0.2)
    parser.add_argument("--slices", type=int, default=24)
    parser.add_argument("--lesions", type=int, default=5)
    asked = parser.parse_args()
    backbone = load_backbone(weights="bundled", device="cpu")
    headers = space(slices_of(asked.slices, step=STEP, spacing=SPACING), [])
    ratios: list[float] = []
    false, specks, missed = [], [], 0
    for seed in map(int, asked.seeds.split(",")):
        first = 1000 * seed
        studies = [thorax_study(first + n, slices=asked.slices) for n in range(asked.k)]
        step = max(1, asked.slices // 12)
        taken = [study[step // 2 :: step] for study in studies]
        fit = fit_calibrated(
            torch.cat(taken),
            [n for n, images in enumerate(taken) for _ in images],
            backbone=backbone,
            preset=get_preset("default"),
            generator=torch.Generator().manual_seed(seed),
            held_out=lambda n, studies=studies: studies[n].split(8),  # type: ignore[misc]
        )
        point = OperatingPoint(fit.normal_scores, asked.rate)
        line = []
        for n in range(asked.lesions):
            number = first + 500 + n
            scores = fit.detector.score(thorax_study(number, slices=asked.slices, lesion=True))
            images = [
                dataclasses.replace(image, map=of.numpy(), score=float(score))
                for image, of, score in zip(headers, scores.maps, scores.scores, strict=True)
            ]
            score = float(scores.scores.max())
            reading = make_reading(
                images, verdict=point.verdict(score), score=score, operating_point=point.threshold
            )
            found = find(reading)
            lesion = thorax_lesion(number, slices=asked.slices)
            hits = [
                finding
                for finding in found.reported
                if lesion[
                    images.index(finding.key_image), finding.peak_row - 1, finding.peak_column - 1
                ]
            ]
            if not hits:
                missed += 1
                line.append("missed")
                continue
            volume = lesion.sum() * SPACING**2 * STEP
            ratios.append(max(finding.size.volume_mm3 or 0.0 for finding in hits) / volume)
            false.append(len(found.reported) + found.further - 1)
            specks.append(found.specks)
            line.append(f"{ratios[-1]:.2f} ({false[-1]} more, {specks[-1]} specks)")
        print(f"seed {seed}: {', '.join(line)}", flush=True)
    if not ratios:
        print(f"no lesion of {missed} found")
        return
    within = sum(abs(ratio - 1) <= 0.25 for ratio in ratios) / len(ratios)
    print(
        f"{len(ratios)} lesions found, {missed} missed; volume found over true: median "
        f"{statistics.median(ratios):.2f}, {min(ratios):.2f} to {max(ratios):.2f}, {within:.0%} "
        f"within a quarter; {statistics.fmean(false):.1f} other findings and "
        f"{statistics.fmean(specks):.1f} specks a study"
    )


if __name__ == "__main__":
    main()
