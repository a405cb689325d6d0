"""A distillation from start or checkpoint to the student's files."""

import math
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ai_core.backbone import Backbone
from ai_core.errors import PretrainingError
from ai_core.pretraining.distillation import (
    Distiller,
    Heads,
    Losses,
    TeacherFeatures,
    encode_by_teacher,
    learning_rate,
    make_optimiser,
    standards,
)
from ai_core.pretraining.exclusion import Exclusion, sha256_of
from ai_core.pretraining.features import FixedCrops
from ai_core.pretraining.pictures import Pictures, check_exclusion
from ai_core.pretraining.record import LossRow, make_record, write_losses, write_record
from ai_core.pretraining.report import Report, silent
from ai_core.pretraining.sampling import Sampler
from ai_core.pretraining.settings import PretrainingSettings
from ai_core.pretraining.state import (
    STATE_FILE,
    load_state,
    optimiser_tensors,
    restore_optimiser,
    save_state,
)
from ai_core.pretraining.student import build_student, save_student, student_config
from ai_core.pretraining.views import make_views, views_of_crop

CHECKPOINT_EVERY = 100

_STANDARD_BATCH = 16


def pretrain(
    pictures: Pictures,
    *,
    exclusion: Exclusion,
    teacher: Backbone,
    settings: PretrainingSettings,
    folder: Path,
    config: dict[str, Any] | None = None,
    start: Path | None = None,
    resume: bool = False,
    checkpoint_every: int = CHECKPOINT_EVERY,
    stop_after: int | None = None,
    report: Report = silent,
) -> None:
    """Distil a teacher into a student and write student, record and losses.

    Args:
        pictures: what is learnt from.
        exclusion: what must not be among them.
        teacher: the frozen tower that is imitated.
        settings: of the run.
        folder: where everything is written; made where it is missing.
        config: the student's open_clip config; `student_config` by default.
        start: weights of a student of that config, to begin with instead of drawn ones.
        resume: go on from the folder's checkpoint; the result has the bytes of a run that was
            never interrupted, on the same machine with as many threads.
        checkpoint_every: updates between checkpoints.
        stop_after: leave after the checkpoint at this update, without results.
        report: called after every step.

    Raises:
        PretrainingError: an excluded picture is among the others, the folder holds another run, or
            its checkpoint is damaged; or `start` is no such student.
    """
    check_exclusion(pictures, exclusion)
    started = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    if not resume and (folder / STATE_FILE).exists():
        raise PretrainingError(f"{folder} holds a run already; resume it, or take another folder")
    run = _Run(
        pictures,
        teacher=teacher,
        settings=settings,
        config=config or student_config(),
        start=start,
        folder=folder,
        resume=resume,
        report=report,
    )
    before = run.seconds
    while run.step < settings.steps:
        run.update()
        if run.step % checkpoint_every == 0 or run.step in (settings.steps, stop_after):
            run.seconds = before + time.monotonic() - started
            run.save()
        if run.step == stop_after:
            return
    save_student(folder, run.average, run.config)
    write_losses(folder, run.losses)
    record = make_record(
        pictures,
        exclusion=exclusion,
        teacher=teacher,
        settings=settings,
        start=run.start,
        seconds=run.seconds,
        last=run.losses[-1],
        folder=folder,
    )
    write_record(folder, record)


class _Run:
    """State of a run, as a checkpoint holds it, and its updates."""

    def __init__(
        self,
        pictures: Pictures,
        *,
        teacher: Backbone,
        settings: PretrainingSettings,
        config: dict[str, Any],
        start: Path | None,
        folder: Path,
        resume: bool,
        report: Report,
    ) -> None:
        self._pictures = pictures
        self._teacher = teacher
        self._settings = settings
        self._folder = folder
        self._report = report
        self.config = config
        self.step = 0
        self.seconds = 0.0
        self.losses: list[LossRow] = []
        visual = build_student(config, seed=settings.seed, start=start)
        self.start = {start.name: sha256_of(start)} if start else None
        found = load_state(folder / STATE_FILE) if resume else None
        if found:
            self._check_same(found[1])
        generator = torch.Generator().manual_seed(settings.seed)
        heads = Heads(visual, teacher, generator=generator)
        self._grid = _grid(visual)
        images = None
        if found is None:
            images = _standard_pictures(pictures, settings)
            seen = _seen(images, teacher=teacher, grid=self._grid)
            self._standard = standards(seen)
        else:
            self._standard = _part(found[0], "standard")
        self._distiller = Distiller(
            visual.to(teacher.device),
            heads.to(teacher.device),
            standard={name: value.to(teacher.device) for name, value in self._standard.items()},
            settings=settings,
        )
        if start and images is not None:
            self._distiller.fit_heads(images.to(teacher.device), seen)
        self._optimiser = make_optimiser(self._distiller, settings)
        self._generator = generator
        self._fixed = self._fix_crops() if settings.crops_per_image else None
        self._round = pictures.round
        entries = len(self._fixed) if self._fixed else len(self._round)
        self._sampler = Sampler(entries, generator=generator)
        self.average = {name: value.detach().clone() for name, value in visual.named_parameters()}
        if found:
            self._restore(*found)

    def update(self) -> None:
        """Take one optimiser step on one batch."""
        settings = self._settings
        rate = learning_rate(self.step, settings)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        images, seen, lesion = self._batch(self._sampler.take(settings.batch))
        patches = self._shown_patches(settings.batch)
        parts = self._distiller(images, seen, patches=patches, lesion=lesion)
        total = parts[0]
        losses = Losses(*(float(part.detach()) for part in parts))
        if not math.isfinite(losses.total):
            raise PretrainingError(
                f"the loss of update {self.step + 1} is {losses.total}; take a lower learning rate"
            )
        self._optimiser.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(self._distiller.parameters(), settings.clip)
        self._optimiser.step()
        self._average()
        self.step += 1
        self.losses.append(LossRow(step=self.step, losses=losses, learning_rate=rate))
        self._report(f"step {self.step} of {settings.steps}: loss {losses.total:.4f}")

    def save(self) -> None:
        """Write the checkpoint."""
        tensors = {
            **_named("model", self._distiller.state_dict()),
            **_named("average", self.average),
            **_named("standard", self._standard),
            **optimiser_tensors(self._optimiser),
            "generator": self._generator.get_state(),
            "rest": self._sampler.rest,
        }
        description = {
            **self._identity(),
            "step": self.step,
            "seconds": self.seconds,
            "losses": [row.to_list() for row in self.losses],
        }
        save_state(self._folder / STATE_FILE, tensors, description)

    def _batch(self, entries: Tensor) -> tuple[Tensor, TeacherFeatures, Tensor | None]:
        if self._fixed:
            return self._fixed.batch(entries)
        seeds = torch.randint(2**62, (len(entries),), generator=self._generator)
        chosen = self._pictures.batch(self._round[entries])
        images, lesion = make_views(chosen, seeds=seeds, settings=self._settings, grid=self._grid)
        device = self._teacher.device
        return (
            images.to(device),
            encode_by_teacher(self._teacher, images, grid=self._grid),
            None if lesion is None else lesion.to(device),
        )

    def _shown_patches(self, count: int) -> Tensor | None:
        """Draw the patches that the student sees of each crop in this update; None for all.

        They are the same in all views of a crop.
        """
        settings = self._settings
        if settings.shown == 1 or self.step >= settings.steps * (1 - settings.whole_last):
            return None
        patches = self._grid**2
        order = torch.rand(count, patches, generator=self._generator).argsort(dim=1)
        order = order.repeat(views_of_crop(settings), 1)
        return order[:, : max(1, round(settings.shown * patches))].to(self._teacher.device)

    @torch.no_grad()
    def _average(self) -> None:
        # young averages forget faster, or they would keep the start for a thousand updates
        decay = min(self._settings.average, (1 + self.step) / (10 + self.step))
        for name, value in self._distiller.visual.named_parameters():
            self.average[name].lerp_(value, 1 - decay)

    def _fix_crops(self) -> FixedCrops:
        return FixedCrops(
            self._pictures,
            teacher=self._teacher,
            grid=self._grid,
            settings=self._settings,
            folder=self._folder,
            report=self._report,
        )

    def _restore(self, tensors: dict[str, Tensor], description: dict[str, Any]) -> None:
        self._distiller.load_state_dict(_part(tensors, "model"))
        restore_optimiser(self._optimiser, tensors)
        for name, value in _part(tensors, "average").items():
            self.average[name].copy_(value)
        self._generator.set_state(tensors["generator"])
        self._sampler.rest = tensors["rest"]
        self.step = description["step"]
        self.seconds = description["seconds"]
        self.losses = [LossRow.from_list(row) for row in description["losses"]]

    def _identity(self) -> dict[str, Any]:
        return {
            "config": self.config,
            "settings": self._settings.to_dict(),
            "teacher": self._teacher.sha256,
            "blocks": list(self._teacher.blocks),
            "precision": self._teacher.precision,
            "pictures": self._pictures.sha256,
            "start": self.start,
        }

    def _check_same(self, description: dict[str, Any]) -> None:
        other = [name for name, value in self._identity().items() if description.get(name) != value]
        if other:
            raise PretrainingError(
                f"the checkpoint in {self._folder} is of another run: {', '.join(other)} differ"
            )


def _standard_pictures(pictures: Pictures, settings: PretrainingSettings) -> Tensor:
    generator = torch.Generator().manual_seed(settings.seed)
    return pictures.batch(
        torch.randperm(len(pictures), generator=generator)[: settings.standard_images]
    )


def _seen(images: Tensor, *, teacher: Backbone, grid: int) -> TeacherFeatures:
    parts = [
        encode_by_teacher(teacher, batch, grid=grid)
        for batch in torch.split(images, _STANDARD_BATCH)
    ]
    return TeacherFeatures(
        torch.cat([part.tokens for part in parts]), torch.cat([part.embedding for part in parts])
    )


def _grid(visual: Any) -> int:
    return int(visual.grid_size[0])


def _named(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": value for name, value in tensors.items()}


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    start = f"{prefix}."
    return {name[len(start) :]: value for name, value in tensors.items() if name.startswith(start)}
