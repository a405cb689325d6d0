"""The scope guard on a synthetic organ: every kind of alteration is stopped, normals are not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ai_core import Backbone, load_backbone
from ai_core.scope import (
    ALTERATIONS,
    KINDS,
    GuardFit,
    ImageFacts,
    ScopeGuard,
    alter,
    describe_images,
    is_guard,
    restore_guard,
)

SIDE = 224
K = 16


def organs(count: int, *, seed: int, symmetric: bool = False) -> Tensor:
    """Draw bright bodies with a dark organ up on the left and grain; place and size vary a little.

    Args:
        count: number of images.
        seed: of every draw.
        symmetric: a second dark organ mirrors the first.
    """
    draw = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.linspace(-1, 1, SIDE), torch.linspace(-1, 1, SIDE), indexing="ij")
    images = []
    for _ in range(count):
        cx, cy, wide, high, dark, light = torch.rand(6, generator=draw).tolist()
        u = (x - 0.06 * (cx - 0.5)) / (0.55 + 0.05 * wide)
        v = (y - 0.06 * (cy - 0.5)) / (0.75 + 0.05 * high)
        body = ((1 - (u * u + v * v)) * 12).sigmoid() * (0.55 + 0.1 * light + 0.12 * v)
        sides = (-1, 1) if symmetric else (-1,)
        for side in sides:
            organ = ((0.08 - ((u - side * 0.35) ** 2 + (v + 0.35) ** 2)) * 60).sigmoid()
            body = body * (1 - (0.5 + 0.1 * dark) * organ)
        grain = torch.randn(1, 1, SIDE, SIDE, generator=draw)
        texture = 0.01 * grain + 0.15 * F.avg_pool2d(grain, 9, 1, 4)
        images.append((body + texture[0, 0] * (body > 0.05)).clamp(0, 1).expand(3, -1, -1))
    return torch.stack(images)


@pytest.fixture(scope="module")
def bundled() -> Backbone:
    return load_backbone(weights="bundled", device="cpu", precision="fp32")


def facts_of(images: Tensor, backbone: Backbone) -> ImageFacts:
    encoded = backbone.encode(images)
    return describe_images(images, tokens=encoded.tokens, embedding=encoded.embedding)


def lesioned(images: Tensor, *, seed: int) -> Tensor:
    """Draw a darker or a brighter square into each image."""
    draw = torch.Generator().manual_seed(seed)
    images = images.clone()
    for image in images:
        top, left, side = (
            (torch.rand(3, generator=draw) * torch.tensor([70, 50, 40])).int().tolist()
        )
        factor = float(0.6 + torch.rand(1, generator=draw))
        image[:, 70 + top : 90 + top + side, 80 + left : 100 + left + side] *= factor
    return images.clamp(0, 1)


def fit(images: Tensor, groups: Tensor, backbone: Backbone) -> GuardFit:
    return GuardFit(
        images,
        facts_of(images, backbone),
        groups,
        anomalies=facts_of(lesioned(images.repeat(2, 1, 1, 1), seed=1), backbone),
        anomaly_groups=groups.repeat(2),
        generator=torch.Generator().manual_seed(0),
    )


@pytest.fixture(scope="module")
def guard(bundled: Backbone) -> ScopeGuard:
    return fit(organs(K, seed=1), torch.arange(K), bundled).finish()


def test_genuine_normals_are_in_scope(guard: ScopeGuard, bundled: Backbone) -> None:
    answer = guard.judge(facts_of(organs(30, seed=2), bundled))
    assert int((~answer.in_scope).sum()) <= 1
    assert [kind is None for kind in answer.unlike] == answer.in_scope.tolist()


def half_blank(images: Tensor) -> Tensor:
    changed = images.clone()
    changed[..., : SIDE * 2 // 5] = 0
    return changed


def noisy(images: Tensor) -> Tensor:
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(5))
    return (images + 0.18 * noise).clamp(0, 1)


def blurred(images: Tensor) -> Tensor:
    return F.avg_pool2d(F.avg_pool2d(images, 13, 1, 6), 13, 1, 6)


def cropped(images: Tensor) -> Tensor:
    return F.interpolate(images[..., 40:160, 30:150], SIDE, mode="bilinear")


@pytest.mark.parametrize(
    "altered",
    [
        lambda images: 1 - images,
        lambda images: images.rot90(1, (2, 3)),
        lambda images: images.rot90(2, (2, 3)),
        lambda images: images.rot90(3, (2, 3)),
        lambda images: images.flip(3),
        lambda images: images.flip(2),
        half_blank,
        noisy,
        blurred,
        cropped,
        lambda images: torch.rand(images.shape, generator=torch.Generator().manual_seed(6)),
        torch.zeros_like,
        torch.ones_like,
    ],
    ids=[
        "inverted",
        "turned90",
        "turned180",
        "turned270",
        "mirrored",
        "upside-down",
        "half-blank",
        "noisy",
        "blurred",
        "cropped",
        "random",
        "black",
        "white",
    ],
)
def test_an_altered_image_is_stopped(
    guard: ScopeGuard, bundled: Backbone, altered: Callable[[Tensor], Tensor]
) -> None:
    answer = guard.judge(facts_of(altered(organs(8, seed=3)), bundled))
    assert int((~answer.in_scope).sum()) >= 7
    assert set(answer.unlike) <= {None, *KINDS}


def test_mirror_images_of_a_symmetric_organ_are_in_scope(bundled: Backbone) -> None:
    guard = fit(organs(K, seed=1, symmetric=True), torch.arange(K), bundled).finish()
    mirrored = organs(12, seed=4, symmetric=True).flip(3)
    assert int(guard.judge(facts_of(mirrored, bundled)).in_scope.sum()) >= 11


def test_noise_is_a_matter_of_grey_levels_and_a_turn_one_of_shape(
    guard: ScopeGuard, bundled: Backbone
) -> None:
    images = organs(4, seed=7)
    assert set(guard.judge(facts_of(blurred(images), bundled)).unlike) == {"grey levels"}
    assert "shape" in guard.judge(facts_of(images.rot90(2, (2, 3)), bundled)).unlike


def test_lesions_are_in_scope(guard: ScopeGuard, bundled: Backbone) -> None:
    images = lesioned(organs(30, seed=8), seed=2)
    assert int(guard.judge(facts_of(images, bundled)).in_scope.sum()) >= 26


def test_unusual_ends_of_a_series_are_in_scope_once_they_were_seen(bundled: Backbone) -> None:
    images, groups = organs(16, seed=9), torch.arange(8).repeat_interleave(2)
    ends = [half_blank(organs(1, seed=20 + n)) for n in range(9)]
    blind = fit(images, groups, bundled)
    seeing = fit(images, groups, bundled)
    for study in range(8):
        seeing.add(study, facts_of(ends[study], bundled))
    new = facts_of(ends[8], bundled)
    assert blind.finish().judge(new).in_scope.tolist() == [False]
    assert seeing.finish().judge(new).in_scope.tolist() == [True]


@pytest.mark.parametrize("count", [2, 3])
def test_few_or_identical_images_make_a_guard_of_finite_numbers(
    bundled: Backbone, count: int
) -> None:
    for images in (organs(count, seed=1), organs(1, seed=1).repeat(count, 1, 1, 1)):
        guard = fit(images, torch.arange(count), bundled).finish()
        answer = guard.judge(facts_of(images, bundled))
        assert bool(torch.isfinite(answer.excess).all())
        assert bool(answer.in_scope.all())


def test_the_answer_survives_storage_bit_for_bit_and_does_not_depend_on_the_batch(
    guard: ScopeGuard, bundled: Backbone
) -> None:
    tensors = guard.to_tensors()
    assert is_guard(tensors)
    facts = facts_of(organs(5, seed=11), bundled)
    found = restore_guard(tensors).judge(facts).excess
    assert torch.equal(found, guard.judge(facts).excess)
    alone = torch.cat([guard.judge(facts.part(torch.tensor([n]))).excess for n in range(5)])
    torch.testing.assert_close(alone, found, rtol=1e-4, atol=1e-4)


def test_the_same_seed_gives_the_same_guard(guard: ScopeGuard, bundled: Backbone) -> None:
    again = fit(organs(K, seed=1), torch.arange(K), bundled).finish().to_tensors()
    assert all(torch.equal(again[name], value) for name, value in guard.to_tensors().items())


@pytest.mark.parametrize("name", ALTERATIONS)
def test_alterations_change_the_picture_and_keep_the_padding_black(name: str) -> None:
    images = organs(2, seed=12)
    images[:, :, :40] = images[:, :, -40:] = 0
    images[:, :, 40:-40, 0] = images[:, :, 40:-40, -1] = 0.01
    images[:, :, 40] = images[:, :, -41] = 0.01
    changed = alter(images, name, generator=torch.Generator().manual_seed(0))
    assert changed.shape == images.shape
    assert 0 <= float(changed.min()) < float(changed.max()) <= 1
    assert not torch.equal(changed, images)
    if name.startswith("turned by") and not name.endswith("180"):
        assert float(changed[..., :39].abs().max()) == 0
    elif "blank" not in name and name != "cropped":
        assert float(changed[:, :, :39].abs().max()) == 0


def test_parts_of_facts_are_joined_again(bundled: Backbone) -> None:
    facts = facts_of(organs(3, seed=13), bundled)
    parts = [facts.part(torch.tensor([n])) for n in range(3)]
    joined = ImageFacts.join(parts)
    assert len(joined) == 3
    assert all(
        torch.equal(getattr(joined, field.name), getattr(facts, field.name))
        for field in fields(ImageFacts)
    )
