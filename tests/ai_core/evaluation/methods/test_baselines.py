"""The baselines measure what they say, on the tower's own tokens."""

import pytest
import torch
from torch.nn import functional as F

from ai_core import Backbone
from ai_core.evaluation import NearestNeighbour, ZeroShot
from ai_core.evaluation.methods.baselines import baselines_for
from ai_core.presets import PAPER
from ai_core.progress import silent
from tests.ai_core.evaluation.pictures import QUICK


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.rand(4, 3, 224, 224, generator=torch.Generator().manual_seed(0))


def fit(method: object, images: torch.Tensor, units: list[int], backbone: Backbone) -> object:
    generator = torch.Generator().manual_seed(0)
    return method.fit(  # type: ignore[attr-defined]
        images, units, backbone=backbone, generator=generator, progress=silent
    )


def test_a_support_image_is_at_no_distance_and_another_is(
    backbone: Backbone, images: torch.Tensor
) -> None:
    fitted = fit(NearestNeighbour("stretch"), images[:3], [0, 1, 2], backbone)
    found = fitted.score(backbone.encode(images).tokens)  # type: ignore[attr-defined]
    assert found.maps.shape == (4, 224, 224)
    assert found.scores[:3].max() < 2e-3
    assert found.scores[3] > 10 * found.scores[:3].max()


def test_the_score_is_the_mean_of_the_3_farthest_patches_from_all_blocks(
    backbone: Backbone, images: torch.Tensor
) -> None:
    fitted = fit(NearestNeighbour("stretch"), images[:2], [0, 1], backbone)
    tokens = backbone.encode(images).tokens
    unit = F.normalize(tokens, dim=-1)
    cosine = torch.einsum("bpw,nbqw->pnq", unit[3], unit[:2]).flatten(1) / unit.shape[1]
    distances = (2 - 2 * cosine.amax(1)).sqrt()
    expected = distances.sort(descending=True).values[:3].mean()
    found = fitted.score(tokens[3:])  # type: ignore[attr-defined]
    torch.testing.assert_close(found.scores[0], expected, atol=1e-4, rtol=1e-4)


def test_a_normal_is_scored_by_the_others_alone(backbone: Backbone, images: torch.Tensor) -> None:
    whole = fit(NearestNeighbour("stretch"), images[:3], [0, 1, 2], backbone)
    others = fit(NearestNeighbour("stretch"), images[1:3], [0, 1], backbone)
    own = others.score(backbone.encode(images[:1]).tokens).scores[0]  # type: ignore[attr-defined]
    scores = whole.normal_scores  # type: ignore[attr-defined]
    assert len(scores) == 3
    assert scores[0] == pytest.approx(float(own), abs=1e-5)


def test_images_of_one_unit_never_score_each_other(
    backbone: Backbone, images: torch.Tensor
) -> None:
    twins = torch.cat([images[:1], images[:1], images[1:2]])
    grouped = fit(NearestNeighbour("stretch"), twins, [0, 0, 1], backbone)
    apart = fit(NearestNeighbour("stretch"), twins, [0, 1, 2], backbone)
    assert len(grouped.normal_scores) == 2  # type: ignore[attr-defined]
    assert grouped.normal_scores[0] > 0.01  # type: ignore[attr-defined]
    assert apart.normal_scores[0] < 2e-3  # type: ignore[attr-defined]
    alone = fit(NearestNeighbour("stretch"), twins, [0, 0, 0], backbone)
    assert alone.normal_scores is None  # type: ignore[attr-defined]


def test_a_large_support_set_fills_no_more_than_the_bank(
    backbone: Backbone, images: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ai_core.evaluation.methods.baselines.BANK_TOKENS", 300)
    fitted = fit(NearestNeighbour("stretch"), images[:2], [0, 1], backbone)
    assert fitted.bank.shape == (300, 3 * backbone.width)  # type: ignore[attr-defined]
    assert len(fitted.normal_scores) == 2  # type: ignore[attr-defined]


def test_zero_shot_is_clips_own_projection_of_the_last_block(
    backbone: Backbone, images: torch.Tensor
) -> None:
    fitted = fit(ZeroShot("stretch"), images[:0], [], backbone)
    tokens = backbone.encode(images[:2]).tokens
    visual = backbone.model.visual
    projected = F.normalize(visual.ln_post(tokens[:, -1]) @ visual.proj, dim=-1)
    odds = projected @ (fitted.text[1] - fitted.text[0])  # type: ignore[attr-defined]
    found = fitted.score(tokens)  # type: ignore[attr-defined]
    side = 224 // backbone.grid
    centres = F.avg_pool2d(found.maps[:, None], side).flatten(1)
    assert torch.corrcoef(torch.stack([centres[0], odds[0]]))[0, 1] > 0.95
    torch.testing.assert_close(found.scores, found.maps.flatten(1).amax(1))
    assert fitted.normal_scores is None  # type: ignore[attr-defined]


def test_baselines_run_once_in_each_geometry_of_the_presets() -> None:
    found = [(one.name, one.geometry) for one in baselines_for([QUICK, PAPER, QUICK])]
    assert found == [
        ("nearest-neighbour", "pad"),
        ("zero-shot", "pad"),
        ("nearest-neighbour", "stretch"),
        ("zero-shot", "stretch"),
    ]
