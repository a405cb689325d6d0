"""Support set: images, their studies, and their tokens and embeddings."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ai_core.backbone import Backbone, Encoded
from ai_core.images import check_series_places
from ai_core.scope import ImageFacts, describe_images


@dataclass(frozen=True, slots=True)
class Support:
    """A support set, as images and as the frozen tower sees them.

    Attributes:
        images: float32 in [0, 1], shape (k, 3, H, W), where the backbone computes.
        groups: study of each image, int64, shape (k,).
        encoded: patch tokens and global embeddings of the images.
        facts: numbers that the scope guard judges the images by.
        series_places: place of each image along its series, float32, shape (k,); None where
            places along a series don't count.
    """

    images: Tensor
    groups: Tensor
    encoded: Encoded
    facts: ImageFacts
    series_places: Tensor | None = None

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
            series_places=None if self.series_places is None else self.series_places[chosen],
        )


def prepare_support(
    images: Tensor,
    *,
    groups: Sequence[int],
    backbone: Backbone,
    series_places: Tensor | None = None,
) -> Support:
    """Send the images of a support set through the frozen tower, batch by batch.

    Raises:
        ImageInputError: not one place along a series for each image, or one outside [0, 1].
    """
    if series_places is not None:
        check_series_places(series_places, count=len(images))
    encoded = encode_images(images, backbone=backbone)
    return Support(
        images=images.to(backbone.device),
        groups=torch.tensor(list(groups)),
        encoded=encoded,
        facts=describe_images(images, tokens=encoded.tokens, embedding=encoded.embedding),
        series_places=None if series_places is None else series_places.float(),
    )


def encode_images(images: Tensor, *, backbone: Backbone) -> Encoded:
    """Send images through the frozen tower, at most as many at once as suit the device."""
    batches = [backbone.encode(batch) for batch in torch.split(images, backbone.batch_size)]
    return Encoded(
        tokens=torch.cat([batch.tokens for batch in batches]),
        embedding=torch.cat([batch.embedding for batch in batches]),
    )
