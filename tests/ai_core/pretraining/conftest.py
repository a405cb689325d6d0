"""A tiny teacher, a tiny student and a few pictures, all made here."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ai_core import Backbone
from ai_core.pretraining import PretrainingSettings, gather_pictures, pretrain, read_exclusion
from tests.ai_core.conftest import TINY, Tiny, load_tiny, textured

STUDENT: dict[str, Any] = deepcopy(TINY) | {"embed_dim": 16}
SETTINGS = PretrainingSettings(steps=6, batch=4, seed=3, warmup=0.2, learning_rate=3e-3)


def write_pictures(folder: Path, count: int, *, seed: int) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for number, image in enumerate(textured(count, seed=seed)):
        values = (image[0].numpy() * 255).astype(np.uint8)
        files.append(folder / f"picture-{number}.png")
        Image.fromarray(values).save(files[-1])
    return files


def distil(
    images: Path, out: Path, *, teacher: Backbone, exclude: tuple[Path, ...] = (), **options: Any
) -> Path:
    """Run a distillation of the tiny student; options of `pretrain`, and changes of settings."""
    own = {"start", "resume", "checkpoint_every", "stop_after", "report"}
    changes = {name: value for name, value in options.items() if name not in own}
    exclusion = read_exclusion(exclude)
    pretrain(
        gather_pictures([images], exclusion=exclusion),
        exclusion=exclusion,
        teacher=teacher,
        settings=replace(SETTINGS, **changes),
        folder=out,
        config=STUDENT,
        **{name: value for name, value in options.items() if name in own},
    )
    return out


@pytest.fixture(scope="session")
def teacher(tiny: Tiny) -> Backbone:
    return load_tiny(tiny, precision="fp32")


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    write_pictures(folder, 8, seed=2)
    return folder
