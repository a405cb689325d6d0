"""The fitted part of a detector: adapters, two text vectors, scope and patch bank."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ai_core.model.anomaly_map import Adapters, FrozenProjection
from ai_core.model.patch_bank import PatchBank
from ai_core.model.scope import Scope
from ai_core.model.settings import PatchBankSettings

_ADAPTERS = "adapters."


@dataclass(frozen=True, slots=True)
class Head:
    """The fitted part of a detector, on top of the frozen backbone.

    Attributes:
        adapters: one linear map per tapped block, or the frozen projection of the ablation.
        text: two unit vectors {normal, anomaly}, float32, shape (2, embed_dim).
        scope: decides which images are of the support set's kind.
        patch_bank: normal patches; None where the preset keeps none.
    """

    adapters: Adapters | FrozenProjection
    text: Tensor
    scope: Scope
    patch_bank: PatchBank | None = None

    def to_tensors(self) -> dict[str, Tensor]:
        """Return every tensor under the name that it has in a saved detector."""
        tensors = {
            f"{_ADAPTERS}{name}": value for name, value in self.adapters.state_dict().items()
        }
        tensors |= {
            "text": self.text,
            "scope.embeddings": self.scope.embeddings,
            "scope.limit": self.scope.limit,
        }
        if self.patch_bank is not None:
            tensors |= {
                "memory.bank": self.patch_bank.bank,
                "memory.mean": self.patch_bank.distance_mean,
                "memory.deviation": self.patch_bank.distance_deviation,
            }
        return tensors


def restore_head(
    tensors: dict[str, Tensor],
    *,
    adapters: Adapters | FrozenProjection,
    patch_bank: PatchBankSettings | None,
    device: torch.device,
) -> Head:
    """Invert `Head.to_tensors`.

    Args:
        tensors: the tensors by name, on any device.
        adapters: untrained adapters of the right shape; their weights are overwritten.
        patch_bank: settings of the patch bank; None where the preset keeps none.
        device: the backbone's device.

    Raises:
        KeyError, RuntimeError: a tensor is missing or has another shape.
    """
    state = {
        name.removeprefix(_ADAPTERS): value
        for name, value in tensors.items()
        if name.startswith(_ADAPTERS)
    }
    adapters.load_state_dict(state, strict=True)
    bank = None
    if patch_bank is not None:
        bank = PatchBank(
            settings=patch_bank,
            bank=tensors["memory.bank"].to(device),
            distance_mean=tensors["memory.mean"].to(device),
            distance_deviation=tensors["memory.deviation"].to(device),
        )
    return Head(
        adapters=adapters.to(device).requires_grad_(requires_grad=False),
        text=tensors["text"].to(device),
        scope=Scope(
            embeddings=tensors["scope.embeddings"].to(device),
            limit=tensors["scope.limit"].to(device),
        ),
        patch_bank=bank,
    )
