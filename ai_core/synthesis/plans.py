"""Everything that is drawn for one anomaly, before any pixel is touched."""

import math
from dataclasses import dataclass

from ai_core.synthesis.boxes import Box, make_box
from ai_core.synthesis.cutpaste import Piece, draw_piece
from ai_core.synthesis.deformation import Bulge, draw_bulge
from ai_core.synthesis.draws import Draws
from ai_core.synthesis.foreground import Cells, draw_centre
from ai_core.synthesis.intensity import Change, draw_change
from ai_core.synthesis.laws import Law
from ai_core.synthesis.settings import Label, Place, SynthesisSettings, Task

_EDGE_REACH = 3.0

_RIM = 4.0
"""Anomalies on the body are centred at least so many pixels within it."""

_WITHIN = 1.0
"""A deformation on the body keeps so much of its reach within it: air does not swell."""

Plan = Piece | Change | Bulge
"""What was drawn for CutPaste, a change of intensity, or a deformation."""


def draw_plan(
    task: Task,
    settings: SynthesisSettings,
    draws: Draws,
    *,
    height: int,
    width: int,
    body: Cells | None,
) -> Plan:
    """Draw an anomaly: sides, turn, shear, place, then what the task adds.

    Args:
        task: which; not "identity".
        settings: what to draw from.
        draws: the image's own stream.
        height: of the image, in pixels.
        width: of the image, in pixels.
        body: where the body is, for anomalies that lie on it.
    """
    ground = _Ground(height=height, width=width, place=settings.place, body=body)
    if task == "source":
        source = settings.source
        box = ground.draw_box(source.side, draws, shear=source.shear, depth=_WITHIN)
        return draw_bulge(box, source, draws)
    law = settings.cutpaste if task == "cutpaste" else settings.intensity
    box = ground.draw_box(law.side, draws, upright=law.mask.bound == "box")
    if task == "cutpaste":
        return draw_piece(box, settings.cutpaste, draws, height=height, width=width)
    return draw_change(box, settings.intensity, draws, height=height, width=width)


def margin_of(plan: Plan) -> float:
    """Pixels beyond the box that the anomaly may change."""
    return _EDGE_REACH * plan.edge_sigma + 1 if isinstance(plan, Change) else 2.0


def label_of(plan: Plan, settings: SynthesisSettings) -> Label:
    """What the plan's task labels."""
    if isinstance(plan, Piece):
        return settings.cutpaste.label
    return settings.intensity.label if isinstance(plan, Change) else settings.source.label


@dataclass(frozen=True, slots=True)
class _Ground:
    """The image that a box is placed on."""

    height: int
    width: int
    place: Place
    body: Cells | None

    def draw_box(
        self,
        side: Law,
        draws: Draws,
        *,
        shear: float = 0.0,
        upright: bool = False,
        depth: float = 0.0,
    ) -> Box:
        high, wide = self.height / 2, self.width / 2
        sides = (side.draw(draws) * high, side.draw(draws) * wide)
        angle = 0.0 if upright else draws.uniform(0, math.pi)
        sheared = (draws.normal(shear), draws.normal(shear)) if shear else (0.0, 0.0)
        # The released code shrinks a turned shape that reaches further than its largest side.
        limit = (side.high * high, side.high * wide) if self.place == "inside" else None
        box = make_box(*sides, angle=angle, shear=sheared, limit=limit)
        row, column = self._draw_centre(box, draws, depth=depth * max(box.extent))
        return box.at(row, column)

    def _draw_centre(self, box: Box, draws: Draws, *, depth: float) -> tuple[float, float]:
        down, right = box.extent
        if self.body is not None:
            row, column = draw_centre(
                self.body, draws, depth=max(depth, _RIM), height=self.height, width=self.width
            )
            return _within(row, down, self.height), _within(column, right, self.width)
        if self.place == "inside":
            return _inside(down, self.height, draws), _inside(right, self.width, draws)
        return draws.uniform(0, self.height - 1), draws.uniform(0, self.width - 1)


def _inside(extent: float, size: int, draws: Draws) -> float:
    """A centre drawn evenly so that the box lies within the image; the middle if it can't."""
    middle = (size - 1) / 2
    return draws.uniform(min(extent, middle), max(size - 1 - extent, middle))


def _within(place: float, extent: float, size: int) -> float:
    """A centre moved so that the box lies within the image, as far as it fits."""
    middle = (size - 1) / 2
    return min(max(place, min(extent, middle)), max(size - 1 - extent, middle))
