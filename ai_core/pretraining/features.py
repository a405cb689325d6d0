"""The teacher's features of fixed crops, computed once and kept on disk."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ai_core.backbone import Backbone
from ai_core.errors import PretrainingError
from ai_core.files import write_bytes
from ai_core.pretraining.distillation import TeacherFeatures, encode_by_teacher
from ai_core.pretraining.pictures import Pictures
from ai_core.pretraining.report import Report
from ai_core.pretraining.settings import PretrainingSettings
from ai_core.pretraining.views import make_views, views_of_crop

FEATURES_FILE, MARK_FILE = "teacher-features.f16", "teacher-features.json"

_BATCH = 16
"""Crops per pass; fixed, so that the same crops give the same bytes on every start."""


class FixedCrops:
    """Fixed crops of each picture, for every turn that it has, and the teacher's features.

    The features are in a file that is read batch by batch; the crops are made anew each time, from
    their seeds. A mark next to the file, written last, identifies it; without the right mark
    it is made again.

    Args:
        pictures: the pictures.
        teacher: the frozen tower.
        grid: cells along a side of the student's grid.
        settings: crops per image and turn, their seed, and how they are drawn.
        folder: folder of the file.
        report: called after every step.
    """

    def __init__(
        self,
        pictures: Pictures,
        *,
        teacher: Backbone,
        grid: int,
        settings: PretrainingSettings,
        folder: Path,
        report: Report,
    ) -> None:
        self._pictures = pictures
        self._settings = settings
        self._device = teacher.device
        self._tokens_shape = (len(teacher.blocks), grid**2, teacher.width)
        self._tokens = int(np.prod(self._tokens_shape))
        self._grid = grid
        self._views = views_of_crop(settings)
        self._round = pictures.round
        count = len(self._round) * settings.crops_per_image
        generator = torch.Generator().manual_seed(settings.seed)
        self._seeds = torch.randint(2**62, (count,), generator=generator)
        path, mark = folder / FEATURES_FILE, folder / MARK_FILE
        shape = (count * self._views, self._tokens + teacher.embed_dim)
        identity = self._identity(teacher, grid)
        if not _is_marked(path, mark, identity=identity, size=2 * shape[0] * shape[1]):
            mark.unlink(missing_ok=True)
            self._compute(path, shape, teacher=teacher, grid=grid, report=report)
            write_bytes(mark, json.dumps(identity, sort_keys=True).encode())
        self._features = np.memmap(path, dtype=np.float16, mode="r", shape=shape)

    def __len__(self) -> int:
        return len(self._seeds)

    def batch(self, entries: Tensor) -> tuple[Tensor, TeacherFeatures, Tensor | None]:
        """Return views, the teacher's features and the lesions' shares, as `make_views` does.

        Args:
            entries: numbers of crops, int64, shape (N,).
        """
        numbers = self._rows(entries).numpy()
        rows = torch.from_numpy(np.array(self._features[numbers], dtype=np.float32))
        rows = rows.to(self._device)
        tokens = rows[:, : self._tokens].reshape(-1, *self._tokens_shape)
        images, lesion = self._make(entries)
        return (
            images.to(self._device),
            TeacherFeatures(tokens, rows[:, self._tokens :]),
            None if lesion is None else lesion.to(self._device),
        )

    def _make(self, entries: Tensor) -> tuple[Tensor, Tensor | None]:
        chosen = self._round[entries // self._settings.crops_per_image]
        return make_views(
            self._pictures.batch(chosen),
            seeds=self._seeds[entries],
            settings=self._settings,
            grid=self._grid,
        )

    def _rows(self, entries: Tensor) -> Tensor:
        """Return the file's rows of crops; a view has as many rows as there are crops."""
        return torch.cat([view * len(self) + entries for view in range(self._views)])

    def _compute(
        self, path: Path, shape: tuple[int, int], *, teacher: Backbone, grid: int, report: Report
    ) -> None:
        _reserve(path, 2 * shape[0] * shape[1])
        features = np.memmap(path, dtype=np.float16, mode="r+", shape=shape)
        for entries in torch.split(torch.arange(len(self)), _BATCH):
            seen = encode_by_teacher(teacher, self._make(entries)[0], grid=grid)
            rows = torch.cat([seen.tokens.flatten(1), seen.embedding], dim=1)
            largest = float(np.finfo(np.float16).max)
            features[self._rows(entries).numpy()] = (
                rows.clamp(-largest, largest).cpu().half().numpy()
            )
            report(f"teacher: {int(entries[-1]) + 1} of {len(self)} crops")
        features.flush()

    def _identity(self, teacher: Backbone, grid: int) -> dict[str, Any]:
        settings = self._settings.to_dict()
        return {
            "teacher": teacher.sha256,
            "blocks": list(teacher.blocks),
            "precision": teacher.precision,
            "pictures": self._pictures.sha256,
            "grid": grid,
            **{name: settings[name] for name in ("seed", "crops_per_image", "crops")},
            "lesions": settings["lesions"] if self._views > 1 else None,
        }


def _reserve(path: Path, size: int) -> None:
    """Allocate the file at once: a disk that fills up under a mapping kills the process."""
    try:
        with path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise PretrainingError(
            f"no room for {size / 1e9:.1f} GB of teacher features in {path.parent} ({error}); "
            f"take fewer crops per image, or 0 for none on disk"
        ) from error


def _is_marked(path: Path, mark: Path, *, identity: dict[str, Any], size: int) -> bool:
    try:
        same: bool = json.loads(mark.read_text(encoding="utf-8")) == identity
        return same and path.stat().st_size == size
    except (OSError, ValueError):
        return False
