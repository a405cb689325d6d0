"""Movement of patch tokens under bright and dark lesions of the same place, size and contrast.

``python -m ai_core.pretraining.movement --pictures SPLIT.json --root DIR`` measures a backbone: a
detector whose tokens hardly move under bright lesions does not see them.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from ai_core.backbone import BUNDLED, Backbone, load_backbone
from ai_core.errors import DetectorError, PretrainingError
from ai_core.pretraining.lesions import lesion_pairs, lesion_share
from ai_core.pretraining.pictures import read_square
from ai_core.pretraining.settings import LesionSettings

CONTRASTS = (0.1, 0.2, 0.3)

_INSIDE = 0.5
_BATCH = 16


@dataclass(frozen=True, slots=True)
class Movement:
    """Mean distance that the tokens of lesions move, by the lesion's sign.

    Attributes:
        contrast: of the lesions.
        bright: mean distance between unit tokens with and without a bright lesion, 0 to 2.
        dark: likewise of dark ones.
        lesions: lesions that had room for both signs.
        patches: patches that they cover by more than half.
    """

    contrast: float
    bright: float
    dark: float
    lesions: int
    patches: int

    @property
    def ratio(self) -> float:
        """Bright over dark; 1 for a backbone that sees both alike."""
        return self.bright / self.dark


def together(parts: Sequence[Movement]) -> Movement:
    """Combine measurements of one contrast on several sets of pictures, by their patches."""
    patches = sum(part.patches for part in parts)
    return Movement(
        contrast=parts[0].contrast,
        bright=sum(part.bright * part.patches for part in parts) / patches,
        dark=sum(part.dark * part.patches for part in parts) / patches,
        lesions=sum(part.lesions for part in parts),
        patches=patches,
    )


def token_distance(one: Tensor, other: Tensor) -> Tensor:
    """Compute the distance of unit vectors, 0 to 2, over the last dimension."""
    difference = F.normalize(one, dim=-1) - F.normalize(other, dim=-1)
    return difference.square().sum(dim=-1).sqrt()


def token_movement(
    backbone: Backbone,
    images: Tensor,
    *,
    contrast: float,
    seed: int = 0,
    settings: LesionSettings | None = None,
) -> Movement:
    """Measure how far tokens move under lesions of one contrast, averaged over blocks and patches.

    Args:
        backbone: the tower.
        images: float32 RGB in [0, 1] of the backbone's size, shape (N, 3, H, W).
        contrast: of the lesions, in (0, 0.5).
        seed: of places and shapes.
        settings: of the lesions but for their contrast; by default half of them are flat.

    Raises:
        PretrainingError: no picture has room for such lesions.
    """
    drawn = settings or LesionSettings()
    drawn = replace(drawn, contrast=(contrast, contrast))
    seeds = torch.randint(
        2**60, (len(images),), generator=torch.Generator().manual_seed(seed), dtype=torch.int64
    )
    sums = torch.zeros(2, dtype=torch.float64)
    patches = lesions = 0
    for batch, own in zip(torch.split(images, _BATCH), torch.split(seeds, _BATCH), strict=True):
        pair = lesion_pairs(batch, seeds=own, settings=drawn)
        room = pair.room
        if not bool(room.any()):
            continue
        inside = lesion_share(pair.weight[room], grid=backbone.grid) >= _INSIDE
        clean = backbone.encode(batch[room]).tokens
        for place, changed in enumerate((pair.bright, pair.dark)):
            tokens = backbone.encode(changed[room]).tokens
            distance = token_distance(tokens, clean).mean(dim=1).cpu()
            sums[place] += distance[inside].double().sum()
        patches += int(inside.sum())
        lesions += int(room.sum())
    if patches == 0:
        raise PretrainingError(
            f"none of {len(images)} pictures has room for a lesion of contrast {contrast}; "
            f"take pictures that are neither black nor white, or a lower contrast"
        )
    bright, dark = (sums / patches).tolist()
    return Movement(contrast=contrast, bright=bright, dark=dark, lesions=lesions, patches=patches)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; 0 when it went well, 1 with a line on stderr when it did not."""
    parser = argparse.ArgumentParser(
        prog="python -m ai_core.pretraining.movement",
        description="Measure how far patch tokens move under bright and dark lesions.",
    )
    add = parser.add_argument
    add("--model", default=BUNDLED, help="as load_backbone takes it")
    add("--weights", default=BUNDLED, help="as load_backbone takes them")
    add("--pictures", required=True, nargs="+", type=Path, metavar="SPLIT", help="split files")
    add("--list", default="dev_normal", help="list of the split files")
    add("--root", required=True, type=Path, help="where the lists' paths start")
    add("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    try:
        backbone = load_backbone(given.model, given.weights, device="cpu")
        print(f"{'':12s}" + "".join(f"{contrast:>26.1f}" for contrast in CONTRASTS))
        rows = []
        for split in given.pictures:
            images = _pictures(split, name=given.list, root=given.root)
            rows.append(
                [
                    token_movement(backbone, images, contrast=contrast, seed=given.seed)
                    for contrast in CONTRASTS
                ]
            )
            _print_row(split.stem, rows[-1])
        _print_row("all", [together(column) for column in zip(*rows, strict=True)])
    except (DetectorError, OSError, ValueError, KeyError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _print_row(name: str, row: Sequence[Movement]) -> None:
    cells = (f"{m.bright:.3f} / {m.dark:.3f} = {m.ratio:.2f}" for m in row)
    print(f"{name:12s}" + "".join(f"{cell:>26s}" for cell in cells), flush=True)


def _pictures(split: Path, *, name: str, root: Path) -> Tensor:
    paths = json.loads(split.read_text(encoding="utf-8"))[name]
    squares = [read_square(root / path).expand(3, -1, -1) for path in paths]
    return torch.stack(squares).float() / 255


if __name__ == "__main__":
    sys.exit(main())
