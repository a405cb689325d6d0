"""Scope guard: whether an image is of the support set's kind, and which kind of measure decides."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ai_core.scope.facts import ImageFacts
from ai_core.scope.measures import EMBEDDING, KINDS, Discriminators, Distance, Measures

_DISTANCE_FIELDS = ("centre", "scale", "directions", "gains", "level")
_PREFIX = "scope.guard."


@dataclass(frozen=True, slots=True)
class ScopeAnswer:
    """Answer of the scope guard on N images.

    Attributes:
        excess: highest measure of each kind over its limit, float32, shape (N, 3), in the order of
            `KINDS`; above 1 is out of scope.
    """

    excess: Tensor

    @property
    def in_scope(self) -> Tensor:
        """Whether no measure is above its limit, bool, shape (N,)."""
        return self.excess.amax(1) <= 1

    @property
    def unlike(self) -> tuple[str | None, ...]:
        """Kind of the measure that is farthest out, of `KINDS`; None for an image in scope."""
        highest = self.excess.argmax(1).tolist()
        return tuple(
            None if inside else KINDS[kind]
            for inside, kind in zip(self.in_scope.tolist(), highest, strict=True)
        )


@dataclass(frozen=True, slots=True)
class ScopeGuard:
    """Measures of foreignness with the limits that genuine normals keep.

    Attributes:
        measures: of the whole support set.
        location: mean of each measure over the support set, every study measured without itself,
            float32, shape (M,).
        spread: its deviation, shape (M,).
        limits: deviations above the mean that are in scope: of distances and of discriminators,
            shape (2,).
    """

    measures: Measures
    location: Tensor
    spread: Tensor
    limits: Tensor

    def judge(self, facts: ImageFacts) -> ScopeAnswer:
        """Judge images, each independently of the others."""
        return ScopeAnswer(
            excess_of(
                self.measures(facts),
                measures=self.measures,
                location=self.location,
                spread=self.spread,
                limits=self.limits,
            )
        )

    def contains(self, embedding: Tensor) -> Tensor:
        """Return which images are in scope by their global embedding alone, bool, shape (N,)."""
        value = self.measures.distances[EMBEDDING](embedding.float().cpu())
        return (value - self.location[EMBEDDING]) / self.spread[EMBEDDING] <= self.limits[0]

    def to_tensors(self) -> dict[str, Tensor]:
        """Return every tensor under the name that it has in a saved detector."""
        tensors = {name: getattr(self, name) for name in ("location", "spread", "limits")}
        for number, distance in enumerate(self.measures.distances):
            tensors |= {
                f"distance.{number}.{name}": getattr(distance, name) for name in _DISTANCE_FIELDS
            }
        for name, found in (("grey", self.measures.grey), ("shape", self.measures.shape)):
            tensors |= {f"{name}.weights": found.weights, f"{name}.offsets": found.offsets}
        return {f"{_PREFIX}{name}": tensor for name, tensor in tensors.items()}


def is_guard(tensors: Mapping[str, Tensor]) -> bool:
    """Return whether a saved detector holds this guard, and not the one before it."""
    return f"{_PREFIX}limits" in tensors


def restore_guard(tensors: Mapping[str, Tensor]) -> ScopeGuard:
    """Invert `ScopeGuard.to_tensors`.

    Raises:
        KeyError: a tensor is missing.
    """
    found = {
        name.removeprefix(_PREFIX): tensor.cpu()
        for name, tensor in tensors.items()
        if name.startswith(_PREFIX)
    }
    count = sum(name.endswith(".centre") for name in found)
    return ScopeGuard(
        measures=Measures(
            distances=tuple(
                Distance(*(found[f"distance.{number}.{name}"] for name in _DISTANCE_FIELDS))
                for number in range(count)
            ),
            grey=Discriminators(found["grey.weights"], found["grey.offsets"]),
            shape=Discriminators(found["shape.weights"], found["shape.offsets"]),
        ),
        location=found["location"],
        spread=found["spread"],
        limits=found["limits"],
    )


def excess_of(
    values: Tensor, *, measures: Measures, location: Tensor, spread: Tensor, limits: Tensor
) -> Tensor:
    """Compute the highest measure of each kind over its limit, (N, M) to (N, 3)."""
    distances = len(measures.distances)
    limit = torch.cat([limits[:1].expand(distances), limits[1:].expand(len(location) - distances)])
    excess = (values - location) / spread / limit
    kinds = torch.tensor(measures.kinds)
    return torch.stack([excess[:, kinds == kind].amax(1) for kind in range(len(KINDS))], dim=1)
