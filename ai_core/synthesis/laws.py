"""How a single number of a synthetic anomaly is distributed."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from ai_core.errors import PresetError
from ai_core.synthesis.draws import Draws

LawKind = Literal["uniform", "log-uniform", "either", "gamma", "stretch"]

_GAMMA_START = 0.03
_GAMMA_SCALE = 0.1
_STRETCH_MEAN = 0.1


@dataclass(frozen=True, slots=True)
class Law:
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

    kind: LawKind
    low: float
    high: float

    def __post_init__(self) -> None:
        if self.kind not in get_args(LawKind):
            raise PresetError(f"no law {self.kind!r}; there are {', '.join(get_args(LawKind))}")
        if not self.low <= self.high:
            raise PresetError(f"the law goes from {self.low} down to {self.high}; swap the ends")
        if self.kind == "log-uniform" and self.low <= 0:
            raise PresetError(f"a logarithmic law starts above 0, not at {self.low}")

    def draw(self, draws: Draws) -> float:
        """Draw a number."""
        if self.kind == "uniform":
            return draws.uniform(self.low, self.high)
        if self.kind == "log-uniform":
            # Rounding of the exponential must not leave the range.
            drawn = math.exp(draws.uniform(math.log(self.low), math.log(self.high)))
        elif self.kind == "either":
            drawn = draws.choose((self.low, self.high))
        elif self.kind == "gamma":
            drawn = _GAMMA_START + sum(draws.exponential(_GAMMA_SCALE) for _ in range(2))
        else:
            factor = 1 + draws.exponential(_STRETCH_MEAN)
            drawn = draws.choose((factor, 1 / factor))
        return min(max(drawn, self.low), self.high)
