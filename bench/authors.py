"""Drives the authors' released classes, from a checkout of theirs, for bench/detector.py.

    python bench/authors.py CHECKOUT JOB.json

It runs in a process of its own, because their checkout brings a package named open_clip. Nothing
of theirs is changed on disk. Three things are set from outside: names that NumPy has dropped since
(`np.float`, `np.sctypes`), a tower without ln_pre and with another LayerNorm epsilon where the
weights ask for that, and a data loader without worker processes (theirs starts two new ones for
every epoch and every test pass, so leaving them out is in their favour).
"""

# ruff: noqa: E402
from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

CHECKOUT, JOB = sys.argv[1:3]
sys.path.insert(0, CHECKOUT)
np.float = float  # type: ignore[attr-defined]
np.sctypes = {  # type: ignore[attr-defined]
    "float": [np.float16, np.float32, np.float64],
    "int": [np.int8, np.int16, np.int32, np.int64],
    "uint": [np.uint8, np.uint16, np.uint32, np.uint64],
    "complex": [np.complex64, np.complex128],
}

import open_clip
import torch
import yaml
from datasets.dataset import TrainDataset
from models.Adapter import Adapter
from models.CoOp import PromptMaker
from models.MapMaker import MapMaker
from models.Necker import Necker
from open_clip.model import CLIP
from torch import nn
from torch.utils.data import DataLoader
from utils.losses import BinaryDiceLoss, FocalLoss

# Theirs, from the checkout; mypy reads the installed package of this name, which is another.
their_open_clip: Any = open_clip
their_clip: Any = CLIP


def load_tower(job: dict[str, Any]) -> Any:
    """Their CLIP class with the given weights."""
    saved = torch.load(job["weights"], map_location="cpu", weights_only=True)
    config = json.loads(saved["config"])
    vision = dict(config["vision_cfg"])
    without_norm = vision.pop("no_ln_pre", False)
    epsilon = vision.pop("norm_kwargs", {}).get("eps")
    model = their_clip(
        config["embed_dim"], vision, config["text_cfg"], quick_gelu=config.get("quick_gelu", False)
    )
    if without_norm:
        model.visual.ln_pre = nn.Identity()
    if epsilon is not None:
        for module in model.visual.modules():
            if isinstance(module, nn.LayerNorm):
                module.eps = epsilon
    model.load_state_dict(saved["state"], strict=True)
    model.device = torch.device(job["device"])
    side, width = saved["grid"], vision["width"]
    model.token_size, model.token_c = [side] * len(job["blocks"]), [width] * len(job["blocks"])
    model.requires_grad_(requires_grad=False)
    return model.to(model.device)


class Theirs:
    """Their model, optimiser and training data."""

    def __init__(self, job: dict[str, Any]) -> None:
        settings = yaml.safe_load((Path(CHECKOUT) / "config" / "brainmri.yaml").read_text())
        self.blocks = job["blocks"]
        self.clip = load_tower(job)
        device = self.clip.device
        self.necker = Necker(clip_model=self.clip).to(device)
        target = int(self.clip.text_projection.shape[1])
        self.adapter = Adapter(clip_model=self.clip, target=target).to(device)
        self.prompts = PromptMaker(
            prompts=settings["prompts"],
            clip_model=self.clip,
            n_ctx=settings["n_learnable_token"],
            CSC=settings["CSC"],
            class_token_position=settings["class_token_positions"],
        ).to(device)
        self.maps = MapMaker(image_size=settings["image_size"]).to(device)
        groups = [self.prompts.prompt_learner.parameters(), self.adapter.parameters()]
        self.optimiser = torch.optim.Adam(
            [{"params": group} for group in groups], lr=1e-3, betas=(0.5, 0.999)
        )
        self.losses = (FocalLoss(), BinaryDiceLoss())
        self.preprocess = their_open_clip.image_transform()
        arguments = SimpleNamespace(
            image_size=settings["image_size"], anomaly_tasks=settings["anomaly_tasks"]
        )
        data = TrainDataset(arguments, job["folder"], self.preprocess, k_shot=job["k"])
        self.loader = DataLoader(data, batch_size=settings["batch_size"], shuffle=True)
        self.batch, self.epochs = settings["batch_size"], settings["epoch"]

    def anomaly_maps(self, images: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            _, tokens = self.clip.encode_image(images, self.blocks)
            features = self.necker(tokens)
        adapted = self.adapter(features)
        found: torch.Tensor = self.maps(adapted, self.prompts(adapted))
        return found

    def fit(self, updates: int) -> int:
        done = 0
        while True:
            for batch in self.loader:
                if done == updates:
                    return done
                maps = self.anomaly_maps(batch["image"].to(self.clip.device))
                mask = batch["mask"].to(self.clip.device)
                focal, dice = self.losses
                loss = focal(maps, mask) + dice(maps[:, 1], mask)
                loss.item()
                self.optimiser.zero_grad()
                loss.backward()
                self.optimiser.step()
                done += 1

    @torch.no_grad()
    def score(self, images: torch.Tensor) -> list[float]:
        scores: list[float] = []
        for start in range(0, len(images), self.batch):
            batch = images[start : start + self.batch].to(self.clip.device)
            maps = self.anomaly_maps(batch)[:, 1].cpu()
            scores.extend(maps.flatten(1).amax(1).tolist())
        return scores


def main() -> None:
    job = json.loads(Path(JOB).read_text())
    theirs = Theirs(job)
    mean, std = their_open_clip.OPENAI_DATASET_MEAN, their_open_clip.OPENAI_DATASET_STD
    images = torch.load(job["images"], weights_only=True)
    images = (images - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    total = theirs.epochs * -(-job["k"] // theirs.batch)
    wanted = job["updates"] or total
    on_card = theirs.clip.device.type == "cuda"
    synchronise: Callable[[], None] = torch.cuda.synchronize if on_card else lambda: None
    begun, worked = time.perf_counter(), time.process_time()
    theirs.fit(wanted)
    synchronise()
    fitted, fit_worked = time.perf_counter(), time.process_time()
    scores = theirs.score(images)
    synchronise()
    ended = time.perf_counter()
    result = {
        "fit_seconds": (fitted - begun) * total / wanted,
        "share": wanted / total,
        "test_passes": theirs.epochs,
        "score_seconds": ended - fitted,
        "fit_cpu": (fit_worked - worked) * total / wanted,
        "score_cpu": time.process_time() - fit_worked,
        "scores": scores,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "device_mib": torch.cuda.max_memory_allocated() / 2**20 if on_card else 0,
    }
    Path(job["result"]).write_text(json.dumps(result))


if __name__ == "__main__":
    main()
