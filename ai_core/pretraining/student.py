"""The student: a small open_clip ViT, and its files.

Width 320, depth 4, five heads of 64, 16x16 patches: 5.3 million parameters of vision, 10.6 MB in
float16. On one thread of the machine that this was chosen on, forward passes per second were 22.9
for 320 x 4; 19.6 for 256 x 6; 17.2 for 256 x 8 with a slimmer MLP; 19.7 for 384 x 3 and 16.6 for
384 x 4 with a slimmer MLP. At equal parameters the shallow, wide tower is the fastest, because
attention and norms cost by depth and products in wide matrices run nearer to the processor's peak;
it alone leaves room above 40 images a second on two cores. Depth 4 is the smallest that gives
three different taps at exactly 1/2, 3/4 and all of it, and wide tokens lose less of a teacher's
384 to 1024 channels under a linear map. A deeper tower may well be the better pupil; that has not
been tried.

The text tower is drawn from a seed on load, so that the file holds the vision tower alone.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from ai_core.backbone import (
    SEEDED_TEXT,
    UNREADABLE,
    UNTRAINED_SEED,
    VISION_PREFIX,
    Architecture,
    build_model,
    initialise_untrained,
    load_checkpoint,
    tapped_blocks,
)
from ai_core.errors import PretrainingError
from ai_core.files import write_bytes

NAME = "student"
CONFIG_FILE, WEIGHTS_FILE = "student.json", "student.safetensors"


def student_config() -> dict[str, Any]:
    """Return the open_clip config."""
    return {
        "embed_dim": 256,
        "vision_cfg": {
            "image_size": 224,
            "layers": 4,
            "width": 320,
            "head_width": 64,
            "mlp_ratio": 4.0,
            "patch_size": 14,
            "no_ln_pre": True,
        },
        "text_cfg": {
            "context_length": 77,
            "vocab_size": 49408,
            "width": 64,
            "heads": 2,
            "layers": 2,
        },
    }


def build_student(config: dict[str, Any], *, seed: int, start: Path | None = None) -> nn.Module:
    """Build the vision tower before training, ready to learn.

    Without a start it is the seeded untrained one: its patch basis and smooth positions are a
    better start than noise, and the same everywhere.

    Args:
        config: in open_clip's form.
        seed: of the untrained one.
        start: a file that `save_student` wrote of the same config.

    Raises:
        PretrainingError: `start` is no such file.
    """
    architecture = Architecture(name=NAME, config=config)
    if start is None:
        model = build_model(architecture)
        initialise_untrained(model, seed=seed)
    else:
        try:
            _, model = load_checkpoint(start, architecture)
        except UNREADABLE as error:
            raise PretrainingError(f"{start} holds no student to start from: {error}") from error
    visual: Any = model.visual
    tower: nn.Module = visual
    return tower.requires_grad_(requires_grad=True).train()


def student_blocks(visual: Any) -> tuple[int, ...]:
    """Return the tapped blocks, counted from 1: 1/2, 3/4 and all of the depth."""
    return tapped_blocks(len(visual.transformer.resblocks))


def save_student(folder: Path, weights: dict[str, Tensor], config: dict[str, Any]) -> None:
    """Write config and vision weights as `load_backbone` takes them, each whole or not at all.

    Args:
        folder: where to.
        weights: parameters of the vision tower by their names within it; kept in float16.
        config: the open_clip config.
    """
    plain = {
        f"{VISION_PREFIX}{name}": value.detach().to("cpu", torch.float16).contiguous()
        for name, value in weights.items()
    }
    data = save_tensors(plain, metadata={SEEDED_TEXT: str(UNTRAINED_SEED)})
    text = json.dumps(config, indent=2) + "\n"
    write_bytes(folder / WEIGHTS_FILE, data)
    write_bytes(folder / CONFIG_FILE, text.encode())
