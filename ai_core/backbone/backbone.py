"""A frozen ViT: patch tokens of chosen blocks, a global embedding, and perhaps a text tower."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ai_core.backbone.architecture import Architecture
from ai_core.backbone.autotune import choices_file
from ai_core.backbone.families import Family
from ai_core.backbone.names import UNTRAINED, Precision
from ai_core.backbone.runtime import TowerRuntime
from ai_core.backbone.tiles import Tiling
from ai_core.errors import DetectorError
from ai_core.images import IMAGE_SIZE, check_images


@dataclass(frozen=True, slots=True)
class Encoded:
    """Output of the frozen vision tower for a batch of images.

    Attributes:
        tokens: residual stream after each tapped block, class token dropped, no final norm, no
            projection; float32, shape (N, blocks, patches, width).
        embedding: the image's global CLIP embedding, unnormalised, float32, shape (N, embed_dim).

    Example:
        >>> import torch
        >>> from ai_core import load_backbone
        >>> backbone = load_backbone(weights="untrained", device="cpu")
        >>> encoded = backbone.encode(torch.rand(2, 3, 224, 224))
        >>> encoded.tokens.shape, encoded.embedding.shape
        (torch.Size([2, 3, 256, 256]), torch.Size([2, 128]))
    """

    tokens: Tensor
    embedding: Tensor


class Backbone:
    """A frozen vision tower, most with a text tower. Make one with `load_backbone`.

    Attributes:
        name: the model's name.
        weights: the weights as they were asked for (tag, path, "bundled" or "untrained").
        sha256: digest over architecture and all parameters; equal on every device and precision.
        trained: False for the untrained stand-in.
        image_size: side of the images that it takes, in pixels.
        family: kind of the model; says whether prompts pass its text tower.
        blocks: the tapped blocks, counted from 1.
        device: where it computes.
        model: the open_clip model itself, or its vision half alone.

    Example:
        >>> from ai_core import load_backbone
        >>> backbone = load_backbone(weights="bundled", device="cpu")
        >>> backbone.name, backbone.trained, backbone.image_size, backbone.blocks
        ('bundled', True, 224, (2, 3, 4))
        >>> backbone.grid, backbone.width, backbone.embed_dim
        (16, 320, 256)
    """

    def __init__(
        self,
        model: Any,
        *,
        architecture: Architecture,
        weights: str,
        blocks: tuple[int, ...],
        device: torch.device,
        precision: Literal["auto"] | Precision = "auto",
        cache: Path | None = None,
    ) -> None:
        self.name = architecture.name
        self.weights = weights
        self.trained = weights != UNTRAINED
        self.image_size = IMAGE_SIZE
        self.family: Family = architecture.family
        self.blocks = blocks
        self.device = device
        self.model = model.eval()
        for parameter in model.parameters():
            parameter.requires_grad = False
        self.sha256 = _digest(model, architecture)
        self.model.to(device)
        self._runtime = TowerRuntime(
            self.model.visual,
            trunk=self.family.trunk,
            blocks=blocks,
            device=device,
            precision=precision,
            choices_file=cache and choices_file(cache, digest=self.sha256, blocks=blocks),
        )
        self._embed_dim = int(architecture.config.get("embed_dim", self.width))
        self._mean = torch.tensor(architecture.mean, device=device).view(1, 3, 1, 1)
        self._std = torch.tensor(architecture.std, device=device).view(1, 3, 1, 1)

    @property
    def grid(self) -> int:
        """Patches along a side; the tower sees grid x grid patches."""
        if self.family.trunk == "timm":
            return int(self.model.visual.trunk.patch_embed.grid_size[0])
        return int(self.model.visual.grid_size[0])

    @property
    def width(self) -> int:
        """Channels of a patch token."""
        if self.family.trunk == "timm":
            return int(self.model.visual.trunk.embed_dim)
        return int(self.model.visual.conv1.weight.shape[0])

    @property
    def embed_dim(self) -> int:
        """Channels of the global embedding, and of the space that image and text share."""
        return self._embed_dim

    def frozen_projection(self) -> tuple[nn.LayerNorm, Tensor]:
        """Return the tower's own final norm and projection into the space of the text.

        Raises:
            DetectorError: only open_clip's own ViT with prompts has these.
        """
        if not self.family.projects_patches:
            raise DetectorError(
                f"backbone {self.name!r} has no projection of its own for patch tokens (family "
                f"{self.family.name}); choose a preset with adapters, as all named ones are"
            )
        return self.model.visual.ln_post, self.model.visual.proj

    @property
    def precision(self) -> Precision:
        """Number format of the tower's matrix products for new detectors.

        Where that was left open and this CPU has fp32 and bf16, the first use measures.
        """
        return self._runtime.precision

    @property
    def batch_size(self) -> int:
        """Images per call that suit the device; may measure, and shrinks when memory runs out."""
        return self._runtime.batch_size(self.precision)

    @torch.no_grad()
    def encode(self, images: Tensor, *, precision: Precision | None = None) -> Encoded:
        """Run the frozen vision tower, in batches that suit the device.

        Args:
            images: float32 RGB in [0, 1], shape (N, 3, 224, 224), on any device; sides of 448, 672
                or 896 pixels are seen in overlapping tiles, whose tokens are blended to one grid,
                2 to 4 times as fine, and whose embeddings are averaged.
            precision: the one that a detector was fitted in, so that it stays the same on every
                start; None for `precision`. Another one takes its place where the backbone was
                loaded for "fp32" or "bf16" by name, or this one can't be had here.

        Returns:
            Patch tokens of the tapped blocks and the global embedding, on the backbone's device.

        Raises:
            ImageInputError: images of another shape, type or range.
            DeviceMemoryError: the device's memory does not hold a single image's work.
        """
        images = images.to(self.device) if isinstance(images, Tensor) else images
        check_images(images)  # where it is fast
        precision = self._runtime.settle(precision)
        times = images.shape[-1] // self.image_size
        if times == 1 or not len(images):
            return self._encode(images, precision)
        tiling = Tiling(times, self.grid)
        parts = [self._encode(tiling.cut(image[None]), precision) for image in images]
        embeddings = [F.normalize(part.embedding.float(), dim=-1).mean(0) for part in parts]
        return Encoded(
            tokens=torch.cat([tiling.join(part.tokens) for part in parts]),
            embedding=torch.stack(embeddings),
        )

    def _encode(self, images: Tensor, precision: Precision) -> Encoded:
        """Encode images of the tower's own size."""
        x = (images - self._mean) / self._std
        tokens, embedding = self._runtime.run(x, precision=precision)
        return Encoded(tokens=tokens, embedding=embedding)


def _digest(model: nn.Module, architecture: Architecture) -> str:
    digest = hashlib.sha256()
    settings = [architecture.identity, architecture.mean, architecture.std]
    digest.update(json.dumps(settings, sort_keys=True).encode())
    for name, tensor in sorted(model.state_dict().items()):
        plain = tensor.detach().to("cpu", torch.float32).contiguous()
        digest.update(f"{name}{tuple(plain.shape)}".encode())
        digest.update(plain.numpy().tobytes())
    return digest.hexdigest()
