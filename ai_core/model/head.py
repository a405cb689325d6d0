"""The fitted part of a detector: adapters and two text vectors per head, scope and patch bank."""

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from ai_core.model.anomaly_map import Adapters, FrozenProjection
from ai_core.model.blend import Blend
from ai_core.model.patch_bank import PatchBank
from ai_core.model.scope import EmbeddingScope
from ai_core.model.settings import BlendSettings, PatchBankSettings
from ai_core.scope import ScopeGuard, is_guard, restore_guard

Scope = ScopeGuard | EmbeddingScope
"""Rule that decides which images are of the support set's kind."""

_ADAPTERS = "adapters."
_HEADS = "heads."
_BLEND = "blend."
_PROVENANCE = ("owners", "images", "patches", "series_places", "whitening")
"""Tensors of a patch bank that detectors saved by earlier versions lack."""


_BLEND_TENSORS = tuple(item.name for item in fields(Blend) if item.name != "settings")


@dataclass(frozen=True, slots=True)
class Head:
    """The fitted part of a detector, on top of the frozen backbone.

    Attributes:
        adapters: one linear map per tapped block, or the frozen projection of the ablation.
        text: two unit vectors {normal, anomaly}, float32, shape (2, embed_dim).
        scope: decides which images are of the support set's kind.
        patch_bank: normal patches; None where the preset keeps none.
        blend: scales of the terms of the map; None where the preset blends none.
    """

    adapters: Adapters | FrozenProjection
    text: Tensor
    scope: Scope
    patch_bank: PatchBank | None = None
    blend: Blend | None = None

    def to_tensors(self) -> dict[str, Tensor]:
        """Return every tensor under the name that it has in a saved detector."""
        return self.own_tensors() | _shared_tensors(self)

    def own_tensors(self) -> dict[str, Tensor]:
        """Return the tensors that several heads of one detector don't share."""
        adapters = self.adapters.state_dict()
        return {f"{_ADAPTERS}{name}": value for name, value in adapters.items()} | {
            "text": self.text
        }


@dataclass(frozen=True, slots=True)
class FoldHeads:
    """The heads of a cross-fit, each fitted without one fold; they share all but head and text.

    Attributes:
        heads: one for each fold, in the order of the folds.
    """

    heads: tuple[Head, ...]

    @property
    def scope(self) -> Scope:
        """Scope of the whole support set."""
        return self.heads[0].scope

    @property
    def patch_bank(self) -> PatchBank | None:
        """Bank of the whole support set, whose entries know their study."""
        return self.heads[0].patch_bank

    @property
    def blend(self) -> Blend | None:
        """Scales of the terms of the map, those of the heads in their order."""
        return self.heads[0].blend

    def to_tensors(self) -> dict[str, Tensor]:
        """Return every tensor under the name that it has in a saved detector."""
        tensors = _shared_tensors(self.heads[0])
        for number, head in enumerate(self.heads):
            tensors |= {
                f"{_HEADS}{number}.{name}": value for name, value in head.own_tensors().items()
            }
        return tensors


def _shared_tensors(head: Head) -> dict[str, Tensor]:
    tensors = head.scope.to_tensors()
    if head.patch_bank is not None:
        tensors |= {
            "memory.bank": head.patch_bank.bank,
            "memory.mean": head.patch_bank.distance_mean,
            "memory.deviation": head.patch_bank.distance_deviation,
        }
        provenance = {name: getattr(head.patch_bank, name) for name in _PROVENANCE}
        tensors |= {f"memory.{name}": of for name, of in provenance.items() if of is not None}
    if head.blend is not None:
        tensors |= {f"{_BLEND}{name}": getattr(head.blend, name) for name in _BLEND_TENSORS}
    return tensors


def restore_head(
    tensors: dict[str, Tensor],
    *,
    make_adapters: Callable[[], Adapters | FrozenProjection],
    patch_bank: PatchBankSettings | None,
    blend: BlendSettings | None,
    device: torch.device,
) -> Head | FoldHeads:
    """Invert `Head.to_tensors` and `FoldHeads.to_tensors`.

    Args:
        tensors: the tensors by name, on any device.
        make_adapters: makes untrained adapters of the right shape.
        patch_bank: settings of the patch bank; None where the preset keeps none.
        blend: settings of the blend; None where the preset blends nothing.
        device: the backbone's device.

    Raises:
        KeyError, RuntimeError: a tensor is missing or has another shape.
    """
    scope: Scope = (
        restore_guard(tensors)
        if is_guard(tensors)
        else EmbeddingScope(
            embeddings=tensors["scope.embeddings"].to(device),
            limit=tensors["scope.limit"].to(device),
        )
    )
    bank = None
    if patch_bank is not None:
        bank = PatchBank(
            settings=patch_bank,
            bank=tensors["memory.bank"].to(device),
            distance_mean=tensors["memory.mean"].to(device),
            distance_deviation=tensors["memory.deviation"].to(device),
            **{
                name: tensors[f"memory.{name}"].to(device)
                for name in _PROVENANCE
                if f"memory.{name}" in tensors
            },
        )

    scales = None
    if blend is not None:
        scales = Blend(
            settings=blend,
            **{name: tensors[f"{_BLEND}{name}"].to(device) for name in _BLEND_TENSORS},
        )

    def restore(prefix: str) -> Head:
        start = f"{prefix}{_ADAPTERS}"
        adapters = make_adapters()
        adapters.load_state_dict(
            {
                name.removeprefix(start): value
                for name, value in tensors.items()
                if name.startswith(start)
            },
            strict=True,
        )
        return Head(
            adapters=adapters.to(device).requires_grad_(requires_grad=False),
            text=tensors[f"{prefix}text"].to(device),
            scope=scope,
            patch_bank=bank,
            blend=scales,
        )

    if "text" in tensors:
        return restore("")
    numbers = {int(name.split(".")[1]) for name in tensors if name.startswith(_HEADS)}
    return FoldHeads(tuple(restore(f"{_HEADS}{number}.") for number in range(max(1, len(numbers)))))
