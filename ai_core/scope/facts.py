"""Image facts: the numbers that the scope guard judges an image by."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from ai_core.scope.pixels import measure_pixels


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """Pooled tokens, grey levels and shape of N images, float32 on the CPU.

    Attributes:
        means: mean patch token of each tapped block, shape (N, blocks * width).
        deviations: deviation of the patch tokens of each block, shape (N, blocks * width).
        embedding: global embedding, shape (N, embed_dim).
        grey: as `PixelStatistics.grey`.
        shape: as `PixelStatistics.shape`.
    """

    means: Tensor
    deviations: Tensor
    embedding: Tensor
    grey: Tensor
    shape: Tensor

    def __len__(self) -> int:
        return len(self.means)

    def part(self, chosen: Tensor) -> "ImageFacts":
        """Return the images that a bool mask or indices choose."""
        return ImageFacts(*(getattr(self, field.name)[chosen] for field in fields(self)))

    @classmethod
    def join(cls, parts: Sequence["ImageFacts"]) -> "ImageFacts":
        """Concatenate; at least one part."""
        return cls(
            *(torch.cat([getattr(part, field.name) for part in parts]) for field in fields(cls))
        )


def describe_images(images: Tensor, *, tokens: Tensor, embedding: Tensor) -> ImageFacts:
    """Compute the facts of images that the backbone has encoded.

    Args:
        images: float32 RGB in [0, 1], shape (N, 3, 224, 224), N at least 1.
        tokens: as `Encoded.tokens`, shape (N, blocks, patches, width).
        embedding: as `Encoded.embedding`, shape (N, embed_dim).
    """
    pixels = measure_pixels(images)
    tokens = tokens.float()
    return ImageFacts(
        means=tokens.mean(2).flatten(1).cpu(),
        deviations=tokens.std(2).flatten(1).cpu(),
        embedding=embedding.float().cpu(),
        grey=pixels.grey,
        shape=pixels.shape,
    )
