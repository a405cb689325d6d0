"""What a batch of synthetic anomalies promises."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from ai_core.errors import ImageInputError
from ai_core.synthesis import (
    DEFAULT_SYNTHESIS,
    OFFICIAL_SYNTHESIS,
    PAPER_SYNTHESIS,
    Samples,
    SynthesisSettings,
    Task,
    synthesise,
    synthesise_seeded,
)
from tests.ai_core.synthesis.conftest import BODY_SYNTHESIS, bodies

ALL = {
    "body": BODY_SYNTHESIS,
    "paper": PAPER_SYNTHESIS,
    "official": OFFICIAL_SYNTHESIS,
    "default": DEFAULT_SYNTHESIS,
}
TASKS: tuple[Task, ...] = ("cutpaste", "intensity", "source")


def made(
    normals: Tensor, settings: SynthesisSettings, *, seed: int = 0, repeat: int = 1
) -> tuple[Tensor, Samples]:
    targets = normals.repeat(repeat, 1, 1, 1)
    sources = targets.roll(1, 0)
    generator = torch.Generator().manual_seed(seed)
    return targets, synthesise(targets, sources, settings=settings, generator=generator)


@pytest.mark.parametrize("name", ALL)
def test_the_same_seed_gives_the_same_bytes_and_the_next_epoch_others(
    name: str, normals: Tensor
) -> None:
    _, first = made(normals, ALL[name])
    _, again = made(normals, ALL[name])
    assert first.images.numpy().tobytes() == again.images.numpy().tobytes()
    assert first.labels.numpy().tobytes() == again.labels.numpy().tobytes()
    assert first.tasks == again.tasks
    generator = torch.Generator().manual_seed(0)
    epochs = [
        synthesise(normals, normals.roll(1, 0), settings=ALL[name], generator=generator)
        for _ in range(2)
    ]
    assert torch.equal(epochs[0].images, first.images)
    assert not torch.equal(epochs[1].images, first.images)


@pytest.mark.parametrize("name", ALL)
def test_anomalies_do_not_depend_on_the_split_into_batches(name: str, normals: Tensor) -> None:
    _, whole = made(normals, ALL[name])
    generator = torch.Generator().manual_seed(0)
    sources = normals.roll(1, 0)
    parts = [
        synthesise(targets, others, settings=ALL[name], generator=generator)
        for targets, others in zip(normals.split([1, 4, 7]), sources.split([1, 4, 7]), strict=True)
    ]
    assert tuple(task for part in parts for task in part.tasks) == whole.tasks
    assert torch.allclose(torch.cat([part.images for part in parts]), whole.images, atol=1e-5)
    apart = torch.cat([part.labels for part in parts]) != whole.labels
    assert float(apart.float().mean()) < 1e-4


def test_a_seed_is_all_that_an_images_anomaly_depends_on(normals: Tensor) -> None:
    seeds = torch.arange(12)
    sources = normals.roll(1, 0)
    whole = synthesise_seeded(normals, sources, settings=BODY_SYNTHESIS, seeds=seeds)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1))
    mixed = synthesise_seeded(
        normals[order], sources[order], settings=BODY_SYNTHESIS, seeds=seeds[order]
    )
    assert torch.allclose(mixed.images, whole.images[order], atol=1e-5)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("task", TASKS)
def test_labels_and_changes_agree(name: str, task: Task, normals: Tensor) -> None:
    settings = replace(ALL[name], tasks=(task,))
    targets, samples = made(normals, settings)
    change = (samples.images - targets).abs().amax(1)
    visible = change >= settings.visible
    assert (visible & ~samples.labels).sum() == 0
    label = getattr(settings, task).label
    if label == "visible":
        reach = torch.nn.functional.max_pool2d(visible.float()[:, None], 7, stride=1, padding=3)[
            :, 0
        ]
        assert (samples.labels & (reach == 0)).sum() == 0
    for index, done in enumerate(samples.tasks):
        assert bool(samples.labels[index].any()) == (done == task)
        assert visible[index].any() or done == "identity" or settings.attempts == 0


@pytest.mark.parametrize("name", ALL)
def test_images_stay_images(name: str, normals: Tensor) -> None:
    _, samples = made(normals, ALL[name], repeat=3)
    assert samples.images.dtype == torch.float32
    assert samples.labels.dtype == torch.bool
    assert samples.images.shape == (36, 3, 96, 96)
    assert samples.labels.shape == (36, 96, 96)
    assert samples.images.device == normals.device
    assert torch.isfinite(samples.images).all()
    assert 0 <= float(samples.images.min()) <= float(samples.images.max()) <= 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", ALL)
def test_cuda_gives_the_same_anomalies(name: str, normals: Tensor) -> None:
    _, host = made(normals, ALL[name])
    _, device = made(normals.cuda(), ALL[name])
    assert device.images.is_cuda
    assert device.tasks == host.tasks
    close = (device.images.cpu() - host.images).abs() < 1e-3
    assert float(close.float().mean()) > 0.999


def test_the_normal_images_are_left_alone(normals: Tensor) -> None:
    before = normals.clone()
    made(normals, BODY_SYNTHESIS)
    assert torch.equal(normals, before)


@pytest.mark.parametrize(("name", "kinds"), [("paper", 3), ("body", 4), ("official", 4)])
def test_tasks_have_equal_odds(name: str, kinds: int) -> None:
    settings = replace(ALL[name], anomalies=(1,))
    _, samples = made(bodies(1, size=64), settings, repeat=800)
    counts = Counter(samples.tasks)
    expected = 800 / kinds
    # Chi-square's 0.1 % point for 3 degrees of freedom.
    assert sum((counts[task] - expected) ** 2 / expected for task in settings.tasks) < 16.3, counts


def test_a_task_named_twice_has_twice_the_odds(normals: Tensor) -> None:
    settings = replace(PAPER_SYNTHESIS, tasks=("intensity", "intensity", "identity"))
    _, samples = made(normals, settings, repeat=40)
    assert Counter(samples.tasks)["intensity"] == pytest.approx(320, abs=45)


def test_the_identity_task_leaves_the_image_normal(normals: Tensor) -> None:
    targets, samples = made(normals, replace(OFFICIAL_SYNTHESIS, tasks=("identity",)))
    assert torch.equal(samples.images, targets)
    assert not samples.labels.any()
    assert set(samples.tasks) == {"identity"}


@pytest.mark.parametrize("name", ALL)
def test_colour_is_kept_and_grey_images_stay_grey(name: str, normals: Tensor) -> None:
    _, grey = made(normals, ALL[name])
    assert torch.equal(grey.images[:, 0], grey.images[:, 2])
    tinted = normals * torch.tensor([1.0, 0.8, 0.6])[:, None, None]
    _, coloured = made(tinted, ALL[name])
    outside = ~coloured.labels[:, None] & (coloured.images == tinted)
    assert outside.float().mean() > 0.5
    assert not torch.equal(coloured.images[:, 0], coloured.images[:, 2])


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_constant_images_do_not_break(name: str, value: float) -> None:
    images = torch.full((6, 3, 64, 64), value)
    _, samples = made(images, ALL[name], repeat=3)
    assert torch.isfinite(samples.images).all()
    for index, task in enumerate(samples.tasks):
        if task == "identity":
            assert torch.equal(samples.images[index], images[0])


@pytest.mark.parametrize("name", ALL)
def test_a_support_of_two_images(name: str, normals: Tensor) -> None:
    _, samples = made(normals[:2], ALL[name], repeat=6)
    assert len({task for task in samples.tasks if task != "identity"}) >= 2


@pytest.mark.parametrize("size", [(16, 16), (40, 96), (224, 224), (300, 250)])
def test_any_size_of_image(size: tuple[int, int]) -> None:
    images = torch.rand(6, 3, *size, generator=torch.Generator().manual_seed(0))
    _, samples = made(images, BODY_SYNTHESIS)
    assert samples.images.shape == images.shape
    assert samples.labels.any()


def test_an_empty_batch_is_an_empty_batch() -> None:
    for settings in ALL.values():
        _, samples = made(torch.zeros(0, 3, 64, 64), settings)
        assert len(samples) == 0
        assert samples.labels.shape == (0, 64, 64)


def test_the_defaults_anomalies_lie_on_the_body(normals: Tensor) -> None:
    targets, samples = made(normals, BODY_SYNTHESIS, repeat=4)
    body = targets[:, 0] > 0
    on_body = [
        float((label & inside).sum() / label.sum())
        for label, inside in zip(samples.labels, body, strict=True)
        if label.any()
    ]
    assert np.mean(on_body) > 0.9
    assert min(on_body) > 0.5


@pytest.mark.parametrize("task", TASKS)
def test_every_image_with_structure_gets_an_anomaly(task: Task, normals: Tensor) -> None:
    _, samples = made(normals, replace(BODY_SYNTHESIS, tasks=(task,)), repeat=3)
    assert samples.tasks.count(task) >= 34


def test_the_released_code_puts_one_or_two_anomalies_on_an_image(normals: Tensor) -> None:
    one = replace(OFFICIAL_SYNTHESIS, tasks=("intensity",), anomalies=(1,))
    both = replace(one, anomalies=(1, 2))
    _, single = made(normals, one, repeat=10)
    _, mixed = made(normals, both, repeat=10)
    assert mixed.labels.float().mean() > 1.2 * single.labels.float().mean()


@pytest.mark.parametrize(
    ("targets", "sources", "words"),
    [
        (torch.zeros(2, 3, 8, 8), torch.zeros(3, 3, 8, 8), "every target needs a source"),
        (torch.zeros(3, 8, 8), torch.zeros(3, 8, 8), "targets must be float32"),
        (torch.zeros(2, 1, 8, 8), torch.zeros(2, 1, 8, 8), "targets must be float32"),
        (torch.zeros(2, 3, 8, 8), torch.zeros(2, 3, 8, 8).half(), "sources must be float32"),
    ],
)
def test_images_that_do_not_fit_are_refused(targets: Tensor, sources: Tensor, words: str) -> None:
    generator = torch.Generator().manual_seed(0)
    with pytest.raises(ImageInputError, match=words):
        synthesise(targets, sources, settings=PAPER_SYNTHESIS, generator=generator)


def test_as_many_seeds_as_images(normals: Tensor) -> None:
    with pytest.raises(ImageInputError, match="12 images need as many seeds"):
        synthesise_seeded(normals, normals, settings=PAPER_SYNTHESIS, seeds=torch.arange(3))
