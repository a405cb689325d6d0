"""Rates of the scope guard: altered pictures, pictures of other sets, and genuine ones.

    python bench/scope.py --root DATA --subset dev [--model M --weights W]

DATA holds splits/*.json, as `mediclip-dicom evaluate --split` reads them. For each set a guard is
fitted on each fixed support set (at most three) and on the whole training pool, with the default
preset's synthetic anomalies, and judges the tested pictures, altered ones of the normals, and the
normals of the other sets. Prints shares out of scope, in %, and which kind of statistics decided.
"""

import argparse
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from ai_core import DEFAULT, Backbone, load_backbone
from ai_core.evaluation.alterations import PICTURE_ALTERATIONS, Pixels
from ai_core.evaluation.data import Item, from_split, units_of
from ai_core.fitting.fit import fit_guard, make_pool
from ai_core.fitting.support import prepare_support
from ai_core.images import Placement, read_picture
from ai_core.scope import KINDS, ImageFacts, ScopeGuard, describe_images

T = TypeVar("T")

ALTERED = 30
ABNORMAL = 100
SUPPORTS = 3


def read_input(picture: Pixels) -> Tensor:
    """Bring a picture to the detector's input, as the default preset does."""
    rgb = np.ascontiguousarray(picture, dtype=np.float32)
    place = Placement(rows=rgb.shape[0], columns=rgb.shape[1], mode=DEFAULT.geometry)
    return torch.from_numpy(place.to_input(rgb))


def facts_of(pictures: Sequence[Pixels], backbone: Backbone) -> ImageFacts:
    """Encode pictures, a few at a time, and describe them."""
    parts = []
    for start in range(0, len(pictures), 8):
        images = torch.stack([read_input(one) for one in pictures[start : start + 8]])
        encoded = backbone.encode(images)
        parts.append(describe_images(images, tokens=encoded.tokens, embedding=encoded.embedding))
    return ImageFacts.join(parts)


def some(items: Sequence[T], most: int) -> list[T]:
    """Draw at most so many, always the same."""
    if len(items) <= most:
        return list(items)
    return [items[n] for n in np.random.default_rng(0).permutation(len(items))[:most]]


def fit(items: Sequence[Item], backbone: Backbone, seed: int) -> ScopeGuard:
    """Fit a guard on a support set, as the calibrated fit does."""
    images = torch.stack([read_input(read_picture(item.path)) for item in items])
    generator = torch.Generator().manual_seed(seed)
    support = prepare_support(images, groups=units_of(items), backbone=backbone)
    pool = make_pool(support, backbone=backbone, preset=DEFAULT, generator=generator)
    fitted = fit_guard(support, pool, preset=DEFAULT, backbone=backbone, generator=generator)
    return fitted.finish()


def main() -> None:
    """Fit, judge and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--subset", choices=["dev", "test"], default="dev")
    parser.add_argument("--model", default=None)
    parser.add_argument("--weights", default="bundled")
    parser.add_argument("--precision", default="auto")
    options = parser.parse_args()
    chosen = {} if options.model is None else {"model": options.model}
    backbone = load_backbone(
        weights=options.weights, device="cpu", precision=options.precision, **chosen
    )
    sets = {
        path.stem: from_split(path, root=options.root)
        for path in sorted((options.root / "splits").glob("*.json"))
    }
    tested: dict[tuple[str, str], ImageFacts] = {}
    for name, data in sets.items():
        listed = data.dev if options.subset == "dev" else data.test
        normal = [read_picture(item.path) for item in listed if not item.abnormal]
        abnormal = [item for item in listed if item.abnormal]
        tested[name, "normal"] = facts_of(normal, backbone)
        tested[name, "abnormal"] = facts_of(
            [read_picture(item.path) for item in some(abnormal, ABNORMAL)], backbone
        )
        for title, alteration in PICTURE_ALTERATIONS.items():
            draw = np.random.default_rng(0)
            altered = [alteration(one, draw) for one in some(normal, ALTERED)]
            tested[name, title] = facts_of(altered, backbone)
    rates: dict[tuple[str, str, str], list[list[float]]] = defaultdict(list)
    for name, data in sets.items():
        supports = [(f"k={len(s)}", list(s)) for s in list(data.fixed_supports.values())[:SUPPORTS]]
        for seed, (size, items) in enumerate([*supports, ("pool", list(data.pool))]):
            guard = fit(items, backbone, seed)
            for (source, title), facts in tested.items():
                if source != name and title != "normal":
                    continue
                answer = guard.judge(facts)
                row = title if source == name else f"from {source}"
                deciding = [
                    float(np.mean([kind == one for one in answer.unlike])) for kind in KINDS
                ]
                rates[row, name, size.partition("=")[0]].append([sum(deciding), *deciding])
    rows = list(dict.fromkeys(row for row, _, _ in rates))
    print(f"{backbone.name}, {options.subset} lists; out of scope in %: k = 16 / whole pool")
    print("| tested | " + " | ".join(sets) + " | mean | by " + ", ".join(KINDS) + " |")
    print("| --- |" + " ---: |" * len(sets) + " ---: | --- |")
    for row in rows:
        cells, of_row = [], []
        for name in sets:
            few, all_ = rates.get((row, name, "k")), rates.get((row, name, "pool"))
            if few is None or all_ is None:
                cells.append("")
                continue
            of_row += [np.mean(few, 0), np.mean(all_, 0)]
            cells.append(f"{100 * of_row[-2][0]:.0f} / {100 * of_row[-1][0]:.0f}")
        mean = 100 * np.mean(of_row, 0)
        by = ", ".join(f"{value:.0f}" for value in mean[1:])
        print(f"| {row} | " + " | ".join(cells) + f" | {mean[0]:.0f} | {by} |")


if __name__ == "__main__":
    main()
