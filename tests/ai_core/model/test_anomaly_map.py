"""Eq. 2 against numbers worked out by hand."""

from __future__ import annotations

from math import exp

import pytest
import torch
from torch import Tensor

from ai_core.model.anomaly_map import Adapters, LogMaps, fuse, similarities
from tests.ai_core.conftest import seeded

TAU = 0.1

NORMAL = [[[0.1, 0.0], [0.3, -0.2]], [[0.5, 0.1], [0.3, 0.2]]]
ANOMALY = [[[0.3, 0.0], [0.2, 0.1]], [[0.1, 0.3], [0.2, -0.1]]]
"""Cosines to {normal} and {anomaly} of two blocks over a 2x2 grid."""

FUSIONS = ("softmax-then-mean", "mean-then-softmax")


def share(odds: float) -> float:
    """Softmax over two: the anomalous one's share."""
    return 1 / (1 + exp(-odds))


SHARES = {
    # S_a in each block, then their mean
    "softmax-then-mean": [
        [(share(2) + share(-4)) / 2, (share(0) + share(2)) / 2],
        [(share(-1) + share(-1)) / 2, (share(3) + share(-3)) / 2],
    ],
    # the mean of the cosines, then S_a
    "mean-then-softmax": [[share(-1), share(1)], [share(-1), share(0)]],
}
ODDS_OF_MEANS = [[-1.0, 1.0], [-1.0, 0.0]]


def cosines() -> Tensor:
    return torch.stack([torch.tensor(NORMAL), torch.tensor(ANOMALY)], dim=1)[None]


def anomaly(**options) -> Tensor:
    return fuse(cosines(), temperature=TAU, **options).anomaly.exp()[0]


@pytest.mark.parametrize("fusion", FUSIONS)
def test_s_a_of_two_blocks_is_the_number_worked_out_by_hand(fusion):
    expected = torch.tensor(SHARES[fusion])
    torch.testing.assert_close(anomaly(side=2, fusion=fusion), expected, rtol=1e-5, atol=1e-6)


def test_the_two_orders_are_told_apart():
    first, second = (anomaly(side=2, fusion=fusion) for fusion in FUSIONS)
    assert float(first[0, 0]) == pytest.approx(0.449392, abs=1e-6)
    assert float(second[0, 0]) == pytest.approx(0.268941, abs=1e-6)


def test_the_papers_order_is_the_one_that_is_taken_unasked():
    assert torch.equal(anomaly(side=2), anomaly(side=2, fusion="softmax-then-mean"))


def test_the_papers_order_upsamples_shares():
    centre = float(anomaly(side=3, align_corners=True)[1, 1])
    expected = sum(map(sum, SHARES["softmax-then-mean"])) / 4
    assert centre == pytest.approx(expected, abs=1e-6)


def test_the_released_order_upsamples_cosines():
    found = anomaly(side=3, fusion="mean-then-softmax", align_corners=True)
    assert float(found[1, 1]) == pytest.approx(share(sum(map(sum, ODDS_OF_MEANS)) / 4), abs=1e-6)
    assert float(found[0, 1]) == pytest.approx(share(0.0), abs=1e-6)


@pytest.mark.parametrize(("align_corners", "weight"), [(True, 1 / 3), (False, 1 / 4)])
def test_align_corners_is_honoured(align_corners, weight):
    shares = SHARES["softmax-then-mean"]
    found = anomaly(side=4, align_corners=align_corners)
    assert float(found[0, 0]) == pytest.approx(shares[0][0], abs=1e-6)
    expected = (1 - weight) * shares[0][0] + weight * shares[0][1]
    assert float(found[0, 1]) == pytest.approx(expected, abs=1e-6)


def test_corners_are_not_aligned_unless_asked():
    assert torch.equal(anomaly(side=4), anomaly(side=4, align_corners=False))


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("temperature", [1.0, 0.07, 0.01])
def test_the_two_shares_sum_to_one_at_every_pixel(fusion, temperature):
    similarity = 2 * torch.rand(2, 3, 2, 4, 4, generator=seeded(0)) - 1
    maps = fuse(similarity, temperature=temperature, side=19, fusion=fusion)
    total = maps.normal.exp() + maps.anomaly.exp()
    assert maps.normal.shape == maps.anomaly.shape == (2, 19, 19)
    torch.testing.assert_close(total, torch.ones(2, 19, 19), rtol=0, atol=1e-6)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_opposite_cosines_at_a_low_temperature_stay_finite(fusion):
    similarity = torch.ones(1, 1, 2, 2, 2)
    similarity[:, :, 0] = -1
    maps = fuse(similarity, temperature=0.01, side=2, fusion=fusion)
    assert bool(torch.isfinite(maps.log_odds).all())
    assert float(maps.log_odds.min()) > 80
    torch.testing.assert_close(maps.anomaly.exp(), torch.ones(1, 2, 2))


def test_log_odds_is_the_logarithm_of_the_quotient():
    maps = LogMaps(normal=torch.tensor([0.2]).log(), anomaly=torch.tensor([0.8]).log())
    assert float(maps.log_odds) == pytest.approx(torch.tensor(4.0).log().item(), abs=1e-6)


def test_similarities_are_cosines_on_a_grid_read_row_by_row():
    patches = torch.tensor([[3.0, 4.0], [0.0, 2.0], [-5.0, 0.0], [1.0, 1.0]])
    text = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    found = similarities(patches[None, None], text)
    half = 0.5**0.5
    expected = torch.tensor([[[0.6, 0.0], [-1.0, half]], [[0.8, 1.0], [0.0, half]]])
    torch.testing.assert_close(found, expected[None, None])


def test_every_image_and_block_keeps_its_own_similarities():
    module = Adapters(blocks=3, width=4, embed_dim=5, generator=seeded(0))
    tokens = torch.randn(2, 3, 9, 4, generator=seeded(1))
    text = torch.nn.functional.normalize(torch.randn(2, 5, generator=seeded(2)), dim=-1)
    found = similarities(module(tokens), text).detach()
    assert found.shape == (2, 3, 2, 3, 3)
    for image in range(2):
        for block in range(3):
            weight, bias = module.weight[block].detach(), module.bias[block, 0].detach()
            patches = tokens[image, block] @ weight + bias
            cosine = torch.cosine_similarity(patches[None], text[:, None], dim=-1)
            torch.testing.assert_close(found[image, block], cosine.view(2, 3, 3))


def test_a_token_that_is_mapped_to_zero_is_similar_to_nothing():
    found = similarities(torch.zeros(1, 1, 4, 3), torch.eye(2, 3))
    assert torch.equal(found, torch.zeros(1, 1, 2, 2, 2))


def adapters(seed: int = 0, *, width: int = 4) -> Adapters:
    return Adapters(blocks=2, width=width, embed_dim=3, generator=seeded(seed))


def test_an_adapter_is_one_affine_map_per_block():
    module = adapters()
    tokens = torch.randn(2, 2, 5, 4, generator=seeded(1))
    mapped = module(tokens).detach()
    for block in (0, 1):
        weight, bias = module.weight[block].detach(), module.bias[block, 0].detach()
        expected = torch.einsum("npc,cd->npd", tokens[:, block], weight) + bias
        torch.testing.assert_close(mapped[:, block], expected)


def test_adapters_start_within_the_bound_of_torchs_own_linear_layer():
    module = adapters(width=400)
    for parameter in (module.weight, module.bias):
        assert float(parameter.detach().abs().max()) <= 1 / 20
    assert float(module.weight.detach().abs().max()) > 0.99 / 20


def test_adapters_are_drawn_from_the_generator():
    assert torch.equal(adapters(1).weight, adapters(1).weight)
    assert not torch.equal(adapters(1).weight, adapters(2).weight)


def test_standardised_channels_have_mean_0_and_deviation_1():
    module = adapters()
    scale = torch.tensor([0.1, 1.0, 10.0, 100.0])
    tokens = torch.randn(6, 2, 50, 4, generator=seeded(2)) * scale + 3 * scale
    tokens[:, 1] += 7
    module.standardise(tokens)
    plain = (tokens - module.shift) * module.scale
    torch.testing.assert_close(plain.mean((0, 2)), torch.zeros(2, 4), rtol=0, atol=1e-4)
    torch.testing.assert_close(plain.std((0, 2)), torch.ones(2, 4), rtol=0, atol=1e-4)
    mapped = torch.matmul(plain, module.weight) + module.bias
    torch.testing.assert_close(module(tokens), mapped)


def test_a_channel_that_never_moves_is_not_blown_up():
    module = adapters()
    tokens = torch.randn(6, 2, 50, 4, generator=seeded(2))
    tokens[..., 3] = 5.0
    module.standardise(tokens)
    assert bool(torch.isfinite(module.scale).all())
    assert float(module.scale.max()) < 5e3


def test_standardisation_is_saved_with_the_weights():
    module, fresh = adapters(1), adapters(2)
    tokens = 4 + 2 * torch.randn(6, 2, 50, 4, generator=seeded(2))
    module.standardise(tokens)
    fresh.load_state_dict(module.state_dict())
    assert torch.equal(fresh(tokens), module(tokens))
