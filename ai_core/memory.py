"""A bank of normal patch tokens, and how far a patch lies from all of them.

After PatchCore (Roth et al., CVPR 2022): tokens of the tapped blocks joined, a greedy coreset,
distance to the nearest neighbour.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

CANDIDATES = 16384
"""Patches, drawn evenly, among which the coreset is picked: it costs candidates times bank."""

_LINEAR = 3.0

_AT_ONCE = 2048
"""Patches that are looked up together: more take memory, fewer take longer."""

_SKETCH = 64
"""Random directions in which the coreset measures distances."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Normal patches, and how far normal patches lie from those of other studies.

    Attributes:
        bank: joined tokens of unit length, float16, shape (m, blocks * width).
        mean: mean distance of the support set's patches to the bank of other studies, shape ().
        deviation: standard deviation of these distances, shape ().
    """

    bank: Tensor
    mean: Tensor
    deviation: Tensor

    def surprise(self, tokens: Tensor) -> Tensor:
        """How many deviations farther than a normal patch each patch lies, (N, patches).

        Beyond `_LINEAR` deviations it grows as a logarithm: a very uniform support set has tiny
        deviations, and what lies thousands of them away must not drown everything else.

        Args:
            tokens: as `Encoded.tokens`, shape (N, blocks, patches, width).
        """
        distances = distances_to_bank(tokens, self.bank)
        return _LINEAR * torch.asinh((distances - self.mean) / (_LINEAR * self.deviation))


def fit_memory(tokens: Tensor, groups: Tensor, *, size: int, generator: torch.Generator) -> Memory:
    """Fill a bank from a support set.

    Args:
        tokens: patch tokens of the support set, shape (k, blocks, patches, width).
        groups: study of each image, int64, shape (k,); where there is only one study, each image
            stands for itself.
        size: most patches that the bank keeps.
        generator: on the CPU; draws candidates and sketch.
    """
    if bool((groups == groups[0]).all()):
        groups = torch.arange(len(groups))
    joined = join_blocks(tokens)
    owners = groups.repeat_interleave(joined.shape[1])
    chosen = coreset(joined.flatten(0, 1), size=size, generator=generator)
    bank, owners = joined.flatten(0, 1)[chosen.to(joined.device)], owners[chosen].to(joined.device)
    distances = torch.cat(
        [
            nearest_distances(patches, bank, allowed=owners != group)
            for patches, group in zip(joined, groups.tolist(), strict=True)
        ]
    )
    deviation, mean = torch.std_mean(distances)
    return Memory(bank=bank.half(), mean=mean, deviation=deviation.clamp_min(1e-6))


def join_blocks(tokens: Tensor) -> Tensor:
    """Tokens (N, blocks, patches, width) as unit vectors (N, patches, blocks * width).

    Each block comes at unit length, so that none outweighs another.
    """
    unit = F.normalize(tokens.float(), dim=-1) / math.sqrt(tokens.shape[1])
    return unit.transpose(1, 2).flatten(2)


def distances_to_bank(tokens: Tensor, bank: Tensor) -> Tensor:
    """Distance of each patch to the nearest in a bank, in [0, 2], shape (N, patches).

    Args:
        tokens: as `Encoded.tokens`, shape (N, blocks, patches, width).
        bank: unit vectors, of any float type, shape (m, blocks * width).
    """
    joined = join_blocks(tokens)
    if not bank.is_cuda:
        bank = bank.float()  # once for all parts
    parts = torch.split(joined.flatten(0, 1), _AT_ONCE)
    distances = torch.cat([nearest_distances(part, bank) for part in parts])
    return distances.view(joined.shape[:2])


def nearest_distances(patches: Tensor, bank: Tensor, *, allowed: Tensor | None = None) -> Tensor:
    """Euclidean distance of unit vectors (P, D) to the nearest in the bank (m, D), shape (P,).

    Args:
        patches: what is looked up.
        bank: unit vectors.
        allowed: which entries of the bank count, bool, shape (m,); all by default. Where none
            does, the distance is 2, the largest there is.
    """
    if bank.is_cuda:
        nearest = _nearest_cosines_on_cuda(patches, bank, allowed)
    else:
        cosine = patches @ bank.T
        nearest = (cosine if allowed is None else cosine.masked_fill(~allowed, -1)).amax(1)
    return (2 - 2 * nearest).clamp_min(0).sqrt()


def _nearest_cosines_on_cuda(patches: Tensor, bank: Tensor, allowed: Tensor | None) -> Tensor:
    """The largest cosine of each patch, (P,): found in float16, many times as fast, then exact."""
    cosine = torch.mm(patches.half(), bank.half().T, out_dtype=torch.float32)
    if allowed is not None:
        cosine = cosine.masked_fill(~allowed, -1)
    rough, place = cosine.max(1)
    exact = (patches * bank[place]).sum(1)
    return exact if allowed is None else torch.where(allowed[place], exact, rough)


def coreset(patches: Tensor, *, size: int, generator: torch.Generator) -> Tensor:
    """Indices of patches that cover all of them, int64 on the CPU, ascending, at most ``size``.

    Greedy k-centre: each pick is the patch that lies farthest from those picked before, in a
    random projection, among at most `CANDIDATES` patches drawn evenly.

    Args:
        patches: vectors, shape (P, D).
        size: how many to keep.
        generator: on the CPU.
    """
    if len(patches) <= size:
        return torch.arange(len(patches))
    drawn = torch.randperm(len(patches), generator=generator)[:CANDIDATES].sort().values
    directions = torch.randn(patches.shape[1], _SKETCH, generator=generator).to(patches)
    sketch = patches[drawn.to(patches.device)] @ directions
    return drawn[sorted(_farthest_first(sketch, size=size))]


def _farthest_first(points: Tensor, *, size: int) -> list[int]:
    squares = points.square().sum(1)
    nearest = torch.full_like(squares, torch.inf)
    picks = torch.zeros(min(size, len(points)), dtype=torch.int64, device=points.device)
    # the picks stay on the device: asking a GPU for each would cost more than finding it
    for turn in range(len(picks)):
        pick = picks[turn : turn + 1]
        distances = squares + squares[pick] - 2 * (points @ points[pick][0])
        nearest = torch.minimum(nearest, distances).index_fill_(0, pick, -torch.inf)
        picks[turn + 1 : turn + 2] = nearest.argmax()
    return picks.tolist()
