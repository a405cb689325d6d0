"""Support set: images, their studies, and their tokens and embeddings."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ai_core.backbone import Backbone, Encoded
from ai_core.scope import ImageFacts, describe_images


@dataclass(frozen=True, slots=True)
class Support:
    """A support set, as images and as the frozen tower sees them.

    Attributes:
        images: float32 in [0, 1], shape (k, 3, H, W), where the backbone computes.
        groups: study of each image, int64, shape (k,).
        encoded: patch tokens and global embeddings of the images.
        facts: numbers that the scope guard judges the images by.
    """

    images: Tensor
    groups: Tensor
    encoded: Encoded
    facts: ImageFacts

    def __len__(self) -> int:
        return len(self.images)

    def part(self, chosen: Tensor) -> "Support":
        """Return the images that a bool mask of shape (k,) chooses."""
        return Support(
            images=self.images[chosen],
            groups=self.groups[chosen],
            encoded=Encoded(
                tokens=self.encoded.tokens[chosen], embedding=self.encoded.embedding[chosen]
            ),
            facts=self.facts.part(chosen.cpu()),
        )


def prepare_support(images: Tensor, *, groups: Sequence[int], backbone: Backbone) -> Support:
    """Send the images of a support set through the frozen tower, batch by batch."""
    parts = torch.split(images, backbone.batch_size)
    batches = [backbone.encode(part) for part in parts]
    return Support(
        images=images.to(backbone.device),
        groups=torch.tensor(list(groups)),
        encoded=Encoded(
            tokens=torch.cat([batch.tokens for batch in batches]),
            embedding=torch.cat([batch.embedding for batch in batches]),
        ),
        facts=ImageFacts.join(
            [
                describe_images(part, tokens=batch.tokens, embedding=batch.embedding)
                for part, batch in zip(parts, batches, strict=True)
            ]
        ),
    )
