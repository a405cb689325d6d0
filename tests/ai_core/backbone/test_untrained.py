"""The seeded tower without training keeps what a linear adapter needs."""

from __future__ import annotations

import torch

from ai_core import Backbone
from ai_core.backbone.architecture import Architecture, build_model
from ai_core.backbone.untrained import UNTRAINED_SEED, initialise_untrained, untrained_config
from tests.ai_core.conftest import disc, textured


def built(*, seed: int) -> dict[str, torch.Tensor]:
    model = build_model(Architecture(name="untrained", config=untrained_config()))
    initialise_untrained(model, seed=seed)
    return model.state_dict()


def test_one_seed_overwrites_every_parameter_alike(backbone: Backbone):
    first, again, other = backbone.model.state_dict(), built(seed=UNTRAINED_SEED), built(seed=2)
    assert all(torch.equal(first[name], again[name]) for name in first)
    changed = {name for name in first if not torch.equal(first[name], other[name])}
    assert {"visual.proj", "text_projection", "token_embedding.weight"} <= changed


def test_weights_are_finite_and_of_a_size_that_keeps_features_apart(backbone: Backbone):
    for name, value in backbone.model.state_dict().items():
        assert bool(torch.isfinite(value).all()), name
    tokens = backbone.encode(textured(2, seed=4)).tokens
    assert bool(torch.isfinite(tokens).all())
    assert float(tokens.std(dim=2).mean()) > 0.05


def test_the_patch_basis_is_orthonormal_over_grey_patches(backbone: Backbone):
    weight = backbone.model.visual.conv1.weight.detach()
    basis = weight[: weight.shape[0] * 3 // 4].sum(1).flatten(1)
    torch.testing.assert_close(basis @ basis.T, torch.eye(len(basis)), rtol=0, atol=1e-5)


def test_a_bright_spot_moves_its_own_patches_most(backbone: Backbone):
    images = textured(1, seed=4).repeat(2, 1, 1, 1)
    spot = disc(91, 133, radius=14)
    images[1, :, spot] = (images[1, :, spot] + 0.4).clamp(0, 1)
    first, second = backbone.encode(images).tokens[:, 0]
    distance = (first - second).norm(dim=-1)
    row, column = divmod(int(distance.argmax()), backbone.grid)
    assert bool(spot[row * 14 : row * 14 + 14, column * 14 : column * 14 + 14].any())
