"""What the student is pulled towards."""

from __future__ import annotations

import pytest
import torch

from ai_core.pretraining.distillation import (
    Distiller,
    Heads,
    TeacherFeatures,
    difference_loss,
    encode_by_teacher,
    learning_rate,
    standards,
)
from ai_core.pretraining.settings import PretrainingSettings
from ai_core.pretraining.student import build_student
from tests.ai_core.conftest import seeded, textured
from tests.ai_core.pretraining.conftest import SETTINGS, STUDENT


def test_a_teachers_tokens_are_resampled_to_the_students_grid(teacher):
    images = textured(2, seed=1)
    own = encode_by_teacher(teacher, images, grid=teacher.grid)
    finer = encode_by_teacher(teacher, images, grid=14)
    assert torch.equal(own.tokens, teacher.encode(images).tokens)
    assert finer.tokens.shape == (2, 3, 196, teacher.width)
    pooled = finer.tokens.view(2, 3, 7, 2, 7, 2, -1).mean(dim=(3, 5)).flatten(2, 3)
    inner = torch.arange(49).view(7, 7)[1:-1, 1:-1].flatten()
    assert float((pooled - own.tokens)[:, :, inner].abs().mean()) < float(own.tokens.std()) / 3


def test_standardised_targets_make_every_channel_count_alike(teacher):
    seen = encode_by_teacher(teacher, textured(4, seed=2), grid=7)
    louder = TeacherFeatures(seen.tokens.clone(), seen.embedding)
    louder.tokens[..., 0] = louder.tokens[..., 0] * 1000 + 50
    visual = build_student(STUDENT, seed=0)
    heads = Heads(visual, teacher, generator=seeded(1))
    found = [
        Distiller(visual, heads, standard=standards(view), settings=SETTINGS)(
            textured(4, seed=2), view
        )
        for view in (seen, louder)
    ]
    torch.testing.assert_close(found[0][1], found[1][1], rtol=0, atol=1e-4)
    total, tokens, embedding, difference = found[0]
    torch.testing.assert_close(total, tokens + 0.5 * embedding)
    assert float(difference) == 0


def test_shown_patches_are_held_against_the_teachers_of_the_same_place(teacher):
    images = textured(2, seed=3)
    seen = encode_by_teacher(teacher, images, grid=7)
    visual = build_student(STUDENT, seed=0)
    heads = Heads(visual, teacher, generator=seeded(1))
    distiller = Distiller(visual, heads, standard=standards(seen), settings=SETTINGS)
    whole = distiller(images, seen)
    turned = distiller(images, seen, patches=torch.arange(49).flip(0).expand(2, -1))
    for found, wanted in zip(turned, whole, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    part = distiller(images, seen, patches=torch.tensor([[3, 40, 8], [0, 1, 2]]))
    assert all(bool(torch.isfinite(value)) for value in part)
    assert part[1].item() != pytest.approx(whole[1].item(), abs=1e-4)


def test_every_parameter_learns(teacher):
    images = textured(2, seed=3)
    seen = encode_by_teacher(teacher, images, grid=7)
    visual = build_student(STUDENT, seed=0)
    heads = Heads(visual, teacher, generator=seeded(1))
    distiller = Distiller(visual, heads, standard=standards(seen), settings=SETTINGS)
    distiller(images, seen)[0].backward()
    without = [n for n, p in distiller.named_parameters() if p.grad is None]
    assert without == []


def test_the_learning_rate_rises_then_falls_to_nearly_nothing():
    settings = PretrainingSettings(steps=100, warmup=0.1, learning_rate=1.0)
    rates = [learning_rate(step, settings) for step in range(100)]
    assert rates[:10] == sorted(rates[:10])
    assert rates[10] == pytest.approx(1.0)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert 0 < rates[-1] < 0.01


def _thirds(clean: torch.Tensor, bright: torch.Tensor, dark: torch.Tensor) -> torch.Tensor:
    return torch.cat([clean, clean + bright, clean + dark])


def test_the_same_differences_cost_nothing_whatever_the_scale_of_the_mapped_tokens():
    clean, bright, dark = torch.randn(3, 2, 9, 16, generator=seeded(4))
    tokens = _thirds(clean, 0.3 * bright, 0.3 * dark)
    share = torch.ones(2, 9)
    assert float(difference_loss(tokens, tokens, tokens, share=share)) == pytest.approx(0, abs=1e-5)
    mapped = _thirds(clean, 0.1 * bright, 0.1 * dark)
    assert float(difference_loss(tokens, mapped, tokens, share=share)) == pytest.approx(0, abs=1e-4)


def test_bright_lesions_that_move_the_students_tokens_less_than_the_teachers_cost():
    clean, bright, dark = torch.randn(3, 2, 9, 16, generator=seeded(4))
    aim = _thirds(clean, 0.3 * bright, 0.3 * dark)
    share = torch.ones(2, 9)
    lame = _thirds(clean, 0.1 * bright, 0.3 * dark).requires_grad_()
    loss = difference_loss(lame, aim, aim, share=share)
    assert float(loss.detach()) > 0.1
    (gradient,) = torch.autograd.grad(loss, lame)
    moved = difference_loss((lame - 0.5 * gradient).detach(), aim, aim, share=share)
    assert float(moved) < float(loss.detach())


def test_a_change_in_another_direction_costs_and_patches_without_lesion_do_not_count():
    clean, bright, dark, other = torch.randn(4, 2, 9, 16, generator=seeded(5))
    aim, mapped = _thirds(clean, bright, dark), _thirds(clean, other, dark)
    share = torch.zeros(2, 9)
    share[:, 4] = 1
    assert float(difference_loss(aim, mapped, aim, share=share)) > 0.2
    elsewhere = mapped.clone()
    elsewhere[2:4, 4] = aim[2:4, 4]
    assert float(difference_loss(aim, elsewhere, aim, share=share)) == pytest.approx(0, abs=1e-5)


def test_a_lesion_that_changes_nothing_has_a_finite_gradient():
    clean = torch.randn(2, 9, 16, generator=seeded(6))
    found = clean.repeat(3, 1, 1).requires_grad_()
    loss = difference_loss(found, found, clean.repeat(3, 1, 1), share=torch.ones(2, 9))
    (gradient,) = torch.autograd.grad(loss, found)
    assert bool(torch.isfinite(gradient).all())


def test_heads_are_fitted_to_the_student_that_a_run_starts_from(teacher):
    images = textured(8, seed=3)
    seen = encode_by_teacher(teacher, images, grid=7)
    visual = build_student(STUDENT, seed=0)
    distiller = Distiller(
        visual,
        Heads(visual, teacher, generator=seeded(1)),
        standard=standards(seen),
        settings=SETTINGS,
    )
    before = distiller(images, seen)
    distiller.fit_heads(images, seen)
    after = distiller(images, seen)
    assert float(after[1]) < 0.7 * float(before[1])
    assert float(after[2]) < 0.7 * float(before[2])
