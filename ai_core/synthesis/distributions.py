"""Distributions of the numbers that describe a synthetic anomaly."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from pydantic import with_config

from ai_core.errors import PresetError
from ai_core.stored import STRICT

if TYPE_CHECKING:
    from ai_core.synthesis.seeded_stream import SeededStream

DistributionKind = Literal["uniform", "log-uniform", "either", "gamma", "stretch"]

_GAMMA_START = 0.03
_GAMMA_SCALE = 0.1
_STRETCH_MEAN = 0.1


@with_config(STRICT)
@dataclass(frozen=True, slots=True)
class Distribution:
    """A distribution on [low, high].

    Attributes:
        kind: "uniform"; "log-uniform", even on a logarithmic scale; "either", one of the two ends;
            "gamma", 0.03 + Γ(2, 0.1), clipped, as the released code draws the sides of Source;
            "stretch", 1 + Exp(0.1) or one over it, clipped, as it scales what it pastes.
        low: smallest value.
        high: largest value.

    Raises:
        PresetError: an unknown kind, or ends that don't fit it.
    """

    kind: DistributionKind
    low: float
    high: float

    def __post_init__(self) -> None:
        if self.kind not in get_args(DistributionKind):
            raise PresetError(
                f"no distribution {self.kind!r}; there are {', '.join(get_args(DistributionKind))}"
            )
        if not self.low <= self.high:
            raise PresetError(
                f"the distribution goes from {self.low} down to {self.high}; swap the ends"
            )
        if self.kind == "log-uniform" and self.low <= 0:
            raise PresetError(f"a log-uniform distribution starts above 0, not at {self.low}")

    def draw(self, stream: "SeededStream") -> float:
        """Draw a number."""
        if self.kind == "uniform":
            return stream.uniform(self.low, self.high)
        if self.kind == "log-uniform":
            # Rounding of the exponential must not leave the range.
            drawn = math.exp(stream.uniform(math.log(self.low), math.log(self.high)))
        elif self.kind == "either":
            drawn = stream.choose((self.low, self.high))
        elif self.kind == "gamma":
            drawn = _GAMMA_START + sum(stream.exponential(_GAMMA_SCALE) for _ in range(2))
        else:
            factor = 1 + stream.exponential(_STRETCH_MEAN)
            drawn = stream.choose((factor, 1 / factor))
        return min(max(drawn, self.low), self.high)
