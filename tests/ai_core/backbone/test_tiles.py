"""A large image is seen in tiles: its tokens are where they would be on one finer grid."""

import pytest
import torch
from torch.nn import functional as F

from ai_core import Backbone, ImageInputError
from ai_core.backbone.tiles import Tiling


@pytest.mark.parametrize("grid", [7, 14, 16, 28])
@pytest.mark.parametrize("times", [2, 3, 4])
def test_every_tile_begins_at_a_patch_and_together_they_are_the_whole(
    times: int, grid: int
) -> None:
    """A tower whose token is the mean of its patch gives the means of the whole square."""
    images = torch.rand(2, 3, 224 * times, 224 * times, generator=torch.Generator().manual_seed(0))
    tiling = Tiling(times, grid)

    tiles = tiling.cut(images)
    assert tiles.shape == (2 * (2 * times - 1) ** 2, 3, 224, 224)
    tokens = F.adaptive_avg_pool2d(tiles, grid).flatten(2).transpose(1, 2)[:, None]
    joined = tiling.join(tokens)

    wanted = F.adaptive_avg_pool2d(images, times * grid).flatten(2).transpose(1, 2)[:, None]
    assert joined.shape == (2, 1, (times * grid) ** 2, 3)
    assert torch.allclose(joined, wanted, atol=1e-5)


@pytest.mark.parametrize("times", [2, 3])
@pytest.mark.parametrize("place", [(0, 0), (5, 3), (12, 31), (31, 16)])
def test_a_bright_square_moves_the_token_at_its_place_most(
    backbone: Backbone, times: int, place: tuple[int, int]
) -> None:
    side, patch = times * 224, 224 // backbone.grid
    row, column = place[0] * times // 2, place[1] * times // 2
    plain = torch.full((1, 3, side, side), 0.4)
    changed = plain.clone()
    changed[..., row * patch : (row + 1) * patch, column * patch : (column + 1) * patch] = 1.0

    before, after = backbone.encode(plain), backbone.encode(changed)

    grid = times * backbone.grid
    assert before.tokens.shape[1:3] == (len(backbone.blocks), grid**2)
    assert before.embedding.shape == (1, backbone.embed_dim)
    moved = (after.tokens - before.tokens)[0].norm(dim=-1)
    for block in moved:
        assert divmod(int(block.argmax()), grid) == (row, column)


def test_each_image_is_seen_alone(backbone: Backbone) -> None:
    images = torch.rand(3, 3, 448, 448, generator=torch.Generator().manual_seed(1))
    together = backbone.encode(images)
    alone = backbone.encode(images[1:2])
    assert torch.allclose(together.tokens[1], alone.tokens[0], atol=1e-5)
    assert torch.allclose(together.embedding[1], alone.embedding[0], atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 3, 300, 300), (1, 3, 448, 224), (1, 3, 1120, 1120)])
def test_other_sizes_are_refused(backbone: Backbone, shape: tuple[int, ...]) -> None:
    with pytest.raises(ImageInputError, match="448, 672, 896"):
        backbone.encode(torch.zeros(shape))
