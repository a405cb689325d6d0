"""Crops are what their settings say, and depend on nothing but picture and seed."""

from __future__ import annotations

import pytest
import torch

from ai_core.errors import PretrainingError
from ai_core.pretraining.augmentation import crops
from ai_core.pretraining.settings import CropSettings
from tests.ai_core.conftest import textured

STILL = CropSettings(
    area=(1.0, 1.0),
    aspect=1.0,
    flip=0,
    upside_down=0,
    turn=0,
    brightness=0,
    contrast=1,
    gamma=1,
    anomaly=0,
    blur=0,
    noise=0,
    invert=0,
)


def changed(**values: object) -> CropSettings:
    settings = {name: getattr(STILL, name) for name in STILL.__dataclass_fields__} | values
    return CropSettings(**settings)


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.rand(4, 3, 224, 224, generator=torch.Generator().manual_seed(0))


def test_a_crop_is_the_same_in_any_company_and_differs_by_seed():
    images = textured(6, seed=3)
    seeds = torch.arange(6) * 77
    together = crops(images, seeds=seeds, settings=CropSettings())
    alone = crops(images[4:5], seeds=seeds[4:5], settings=CropSettings())
    other = crops(images[4:5], seeds=seeds[3:4], settings=CropSettings())
    torch.testing.assert_close(together[4:5], alone, rtol=0, atol=1e-6)
    assert not torch.allclose(alone, other, atol=0.05)
    assert 0 <= float(together.min()) <= float(together.max()) <= 1


def test_an_anomaly_changes_a_part_of_the_crop():
    images = textured(8, seed=3)
    seeds = torch.arange(8)
    found = crops(images, seeds=seeds, settings=changed(anomaly=1))
    touched = ((found - images).abs().amax(dim=1) > 0.05).flatten(1).float().mean(dim=1)
    assert 0.001 < float(touched.max()) < 0.9
    assert int((touched > 0.001).sum()) >= 4  # one task in four leaves the picture as it is
    alone = crops(images[2:3], seeds=seeds[2:3], settings=changed(anomaly=1))
    torch.testing.assert_close(alone, found[2:3], rtol=0, atol=1e-5)


def test_with_everything_off_a_crop_is_the_picture(images):
    same = crops(images, seeds=torch.arange(4), settings=STILL)
    torch.testing.assert_close(same, images, rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("flip", lambda x: x.flip(3)),
        ("upside_down", lambda x: x.flip(2)),
        ("invert", lambda x: 1 - x),
    ],
)
def test_certain_changes_are_made(images, option, expected):
    found = crops(images, seeds=torch.arange(4), settings=changed(**{option: 1.0}))
    torch.testing.assert_close(found, expected(images), rtol=0, atol=1e-3)


def test_turns_are_by_quarters(images):
    found = crops(images[:1].repeat(12, 1, 1, 1), seeds=torch.arange(12), settings=changed(turn=1))
    quarters = [torch.rot90(images[0], k, (1, 2)) for k in (1, 2, 3)]
    kinds = {
        k for image in found for k, want in enumerate(quarters) if (image - want).abs().max() < 1e-3
    }
    matched = sum(any((image - q).abs().max() < 1e-3 for q in quarters) for image in found)
    assert (kinds, matched) == ({0, 1, 2}, 12)


def test_blur_smooths_and_noise_roughens(images):
    def roughness(x: torch.Tensor) -> float:
        return float((x[..., 1:] - x[..., :-1]).abs().mean())

    soft = textured(4, seed=1)
    blurred = crops(images, seeds=torch.arange(4), settings=changed(blur=1.0))
    noisy = crops(soft, seeds=torch.arange(4), settings=changed(noise=1.0))
    assert roughness(blurred) < 0.8 * roughness(images)
    assert roughness(noisy) > roughness(soft)


def test_a_small_area_is_a_small_part_of_the_picture():
    ramp = torch.linspace(0, 1, 224).expand(8, 3, 224, 224).contiguous()
    found = crops(ramp, seeds=torch.arange(8), settings=changed(area=(0.25, 0.25)))
    span = found.amax(dim=(1, 2, 3)) - found.amin(dim=(1, 2, 3))
    torch.testing.assert_close(span, torch.full((8,), 0.5), rtol=0, atol=0.01)


@pytest.mark.parametrize(
    "wrong", [{"flip": 1.5}, {"area": (0.0, 1.0)}, {"gamma": 0.5}, {"blur_sigma": (0.0, 1.0)}]
)
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(PretrainingError):
        changed(**wrong)
