"""Lesions of both signs, and how far a backbone's tokens move under them."""

from __future__ import annotations

import json

import pytest
import torch

from ai_core.errors import PretrainingError
from ai_core.pretraining.lesions import lesion_pairs, lesion_share
from ai_core.pretraining.movement import Movement, main, together, token_movement
from ai_core.pretraining.settings import LesionSettings, PretrainingSettings
from ai_core.pretraining.views import make_views
from tests.ai_core.conftest import seeded, textured

ADDED = LesionSettings(flat=0.0, contrast=(0.2, 0.2))


def grey(count: int, value: float = 0.5, *, side: int = 224) -> torch.Tensor:
    noise = torch.rand(count, 1, side, side, generator=seeded(1)) - 0.5
    return (value + 0.1 * noise).expand(-1, 3, -1, -1).clone()


def test_bright_and_dark_change_the_same_place_by_as_much():
    images = grey(4)
    pair = lesion_pairs(images, seeds=torch.arange(4), settings=ADDED)
    torch.testing.assert_close(pair.bright - images, images - pair.dark, atol=1e-6, rtol=0)
    change = (pair.bright - images).amax(dim=(1, 2, 3))
    torch.testing.assert_close(change, torch.full((4,), 0.2), atol=0.01, rtol=0)
    torch.testing.assert_close((pair.bright - images)[:, 0], 0.2 * pair.weight, atol=1e-6, rtol=0)
    assert bool(pair.room.all())


def test_a_flat_lesion_has_no_texture_of_its_own():
    settings = LesionSettings(flat=1.0, contrast=(0.2, 0.2), edge=(0.05, 0.05))
    images = grey(3)
    pair = lesion_pairs(images, seeds=torch.arange(3), settings=settings)
    for number in range(3):
        inside = pair.weight[number] > 0.99
        assert float(pair.bright[number, 0][inside].std()) < 0.005
        assert float(images[number, 0][inside].std()) > 0.02


def test_a_lesion_depends_on_its_picture_and_seed_alone():
    images = textured(3, seed=5)
    seeds = torch.tensor([7, 8, 9])
    together = lesion_pairs(images, seeds=seeds, settings=LesionSettings())
    alone = lesion_pairs(images[1:2], seeds=seeds[1:2], settings=LesionSettings())
    assert torch.equal(together.bright[1], alone.bright[0])
    assert torch.equal(together.dark[1], alone.dark[0])


def test_it_is_put_where_both_signs_have_room():
    images = torch.zeros(6, 3, 224, 224)
    images[:, :, 60:164, 60:164] = 0.5
    pair = lesion_pairs(images, seeds=torch.arange(6), settings=ADDED)
    assert bool(pair.room.all())
    rows, columns = torch.meshgrid(torch.arange(224), torch.arange(224), indexing="ij")
    for weight in pair.weight:
        total = weight.sum()
        assert 55 < float((weight * rows).sum() / total) < 169
        assert 55 < float((weight * columns).sum() / total) < 169
    none = lesion_pairs(torch.zeros(2, 3, 224, 224), seeds=torch.arange(2), settings=ADDED)
    assert not bool(none.room.any())


def test_views_are_thirds_of_the_same_crops():
    settings = PretrainingSettings(difference_weight=1.0)
    images, share = make_views(
        textured(2, seed=1), seeds=torch.arange(2), settings=settings, grid=7
    )
    clean, none = make_views(
        textured(2, seed=1), seeds=torch.arange(2), settings=PretrainingSettings(), grid=7
    )
    assert none is None
    assert share is not None
    assert images.shape[0] == 6
    assert torch.equal(images[:2], clean)
    pair = lesion_pairs(clean, seeds=torch.arange(2), settings=settings.lesions)
    assert torch.equal(images[2:4], pair.bright)
    torch.testing.assert_close(share, lesion_share(pair.weight, grid=7))
    assert float(share.max()) <= 1


@pytest.mark.parametrize(
    "change",
    [{"contrast": (0.0, 0.2)}, {"radius": (0.2, 0.1)}, {"flat": 1.5}, {"edge": (0.1, 0.7)}],
)
def test_lesions_that_cannot_be_drawn_are_refused(change):
    with pytest.raises(PretrainingError, match="lesion"):
        LesionSettings(**change)


def test_tokens_move_farther_under_stronger_lesions(teacher):
    faint, strong = (token_movement(teacher, grey(4), contrast=c) for c in (0.05, 0.3))
    assert 0 < faint.bright < strong.bright
    assert 0 < faint.dark < strong.dark
    assert faint.lesions == 4
    assert faint.ratio == pytest.approx(faint.bright / faint.dark)


def test_pictures_without_room_are_told(teacher):
    with pytest.raises(PretrainingError, match="room"):
        token_movement(teacher, torch.zeros(2, 3, 224, 224), contrast=0.2)


def test_sets_of_pictures_are_combined_by_their_patches():
    one = Movement(contrast=0.2, bright=1.0, dark=0.5, lesions=2, patches=30)
    other = Movement(contrast=0.2, bright=0.2, dark=0.5, lesions=1, patches=10)
    both = together([one, other])
    assert both.bright == pytest.approx(0.8)
    assert both == Movement(contrast=0.2, bright=both.bright, dark=0.5, lesions=3, patches=40)


def test_the_command_measures_the_pictures_of_a_split(images, tmp_path, capsys):
    split = tmp_path / "mine.json"
    names = sorted(path.name for path in images.glob("*.png"))[:2]
    split.write_text(json.dumps({"dev_normal": names}))
    command = ["--pictures", str(split), "--root", str(images)]
    assert main(command) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[-2:]] == [
        "mine",
        "all",
    ]
    assert main([*command, "--list", "no_such_list"]) == 1
    assert "no_such_list" in capsys.readouterr().err
