"""Synthetic anomalies a second: a batch at once, against one image at a time.

    python bench/synthesis.py --batch 16 --rounds 5

Images are made up: an oval body with texture, 224 x 224, grey in three equal channels, as
almost all medical images are; --colour makes the channels differ. Every round runs both ways one
after the other, so that a ratio compares runs that are close in time; figures are medians.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import replace

import torch
from torch.nn import functional as F

from ai_core.synthesis import (
    DEFAULT_SYNTHESIS,
    OFFICIAL_SYNTHESIS,
    PAPER_SYNTHESIS,
    SynthesisSettings,
    on_body,
    synthesise,
)

SETTINGS = {
    "body": on_body(OFFICIAL_SYNTHESIS),
    "paper": PAPER_SYNTHESIS,
    "official": OFFICIAL_SYNTHESIS,
    "default": DEFAULT_SYNTHESIS,
}


def normals(count: int, *, colour: bool) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 3 if colour else 1, 28, 28, generator=generator)
    texture = F.interpolate(coarse, (224, 224), mode="bicubic").clamp(0, 1)
    places = torch.linspace(-1, 1, 224)
    oval = places[:, None].square() / 0.7 + places[None, :].square() / 0.5 < 1
    images = torch.where(oval, 0.2 + 0.6 * texture, 0.0)
    return images.expand(-1, 3, -1, -1).contiguous()


def rate(images: torch.Tensor, settings: SynthesisSettings, *, step: int, seed: int) -> float:
    """Images a second, the whole set in batches of so many."""
    generator = torch.Generator().manual_seed(seed)
    sources = images.roll(1, 0)
    start = time.perf_counter()
    for targets, others in zip(torch.split(images, step), torch.split(sources, step), strict=True):
        synthesise(targets, others, settings=settings, generator=generator)
    return len(images) / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--preset", choices=SETTINGS, nargs="+", default=list(SETTINGS))
    parser.add_argument("--colour", action="store_true")
    arguments = parser.parse_args()
    images = normals(2 * arguments.batch, colour=arguments.colour)
    print(f"torch {torch.__version__}, batches of {arguments.batch}, images a second (median)")
    print(f"{'preset':10}{'task':12}{'threads':>8}{'batched':>9}{'single':>8}{'ratio':>7}")
    for threads in arguments.threads:
        torch.set_num_threads(threads)
        for name in arguments.preset:
            settings = SETTINGS[name]
            for tasks in (
                *((task,) for task in settings.tasks if task != "identity"),
                settings.tasks,
            ):
                chosen = replace(settings, tasks=tasks)
                rate(images, chosen, step=arguments.batch, seed=0)
                pairs = [
                    (
                        rate(images, chosen, step=arguments.batch, seed=seed),
                        rate(images, chosen, step=1, seed=seed),
                    )
                    for seed in range(arguments.rounds)
                ]
                batched, single = (statistics.median(way) for way in zip(*pairs, strict=True))
                ratio = statistics.median(a / b for a, b in pairs)
                label = tasks[0] if len(tasks) == 1 else "all"
                print(f"{name:10}{label:12}{threads:8}{batched:9.0f}{single:8.0f}{ratio:7.2f}")


if __name__ == "__main__":
    main()
