"""Made-up normal images: an oval body over a dark surround, textured."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ai_core.synthesis import OFFICIAL_SYNTHESIS, on_body

BODY_SYNTHESIS = on_body(OFFICIAL_SYNTHESIS)


def bodies(count: int, *, size: int = 96, seed: int = 0) -> Tensor:
    """Normal images, float32, shape (count, 3, size, size), grey, all different."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 1, 12, 12, generator=generator)
    texture = F.interpolate(coarse, (size, size), mode="bicubic").clamp(0, 1)
    places = torch.linspace(-1, 1, size)
    oval = places[:, None].square() / 0.64 + places[None, :].square() / 0.5 < 1
    return torch.where(oval, 0.25 + 0.5 * texture, 0.0).expand(-1, 3, -1, -1).contiguous()


@pytest.fixture(scope="session")
def normals() -> Tensor:
    """Twelve of them; never write to it."""
    return bodies(12)
