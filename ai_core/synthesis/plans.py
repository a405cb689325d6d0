"""Plan of one anomaly: all parameters, drawn before any pixel changes."""

import math
from dataclasses import dataclass

from ai_core.synthesis.boxes import Box, make_box
from ai_core.synthesis.cutpaste import Piece, draw_piece
from ai_core.synthesis.deformation import Bulge, draw_bulge
from ai_core.synthesis.distributions import Distribution
from ai_core.synthesis.foreground import Cells, draw_centre
from ai_core.synthesis.intensity import Change, draw_change
from ai_core.synthesis.seeded_stream import SeededStream
from ai_core.synthesis.settings import Label, Place, SynthesisSettings, Task

_EDGE_REACH = 3.0

_RIM = 4.0
"""Anomalies on the body are centred at least so many pixels within it."""

_WITHIN = 1.0
"""A deformation on the body keeps so much of its reach within it: air does not swell."""

Plan = Piece | Change | Bulge
"""Parameters drawn for CutPaste, a change of intensity, or a deformation."""


def draw_plan(
    task: Task,
    settings: SynthesisSettings,
    stream: SeededStream,
    *,
    height: int,
    width: int,
    body: Cells | None,
) -> Plan:
    """Draw an anomaly: sides, turn, shear, place, then what the task adds.

    Args:
        task: which; not "identity".
        settings: what to draw from.
        stream: the image's own stream.
        height: of the image, in pixels.
        width: of the image, in pixels.
        body: cells of the body, for anomalies on it.
    """
    ground = _Ground(height=height, width=width, place=settings.place, body=body)
    if task == "source":
        source = settings.source
        box = ground.draw_box(source.side, stream, shear=source.shear, depth=_WITHIN)
        return draw_bulge(box, source, stream)
    masked = settings.cutpaste if task == "cutpaste" else settings.intensity
    box = ground.draw_box(masked.side, stream, upright=masked.mask.bound == "box")
    if task == "cutpaste":
        return draw_piece(box, settings.cutpaste, stream, height=height, width=width)
    return draw_change(box, settings.intensity, stream, height=height, width=width)


def margin_of(plan: Plan) -> float:
    """Return the pixels beyond the box that the anomaly may change."""
    return _EDGE_REACH * plan.edge_sigma + 1 if isinstance(plan, Change) else 2.0


def label_of(plan: Plan, settings: SynthesisSettings) -> Label:
    """Return the label of the plan's task."""
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
        side: Distribution,
        stream: SeededStream,
        *,
        shear: float = 0.0,
        upright: bool = False,
        depth: float = 0.0,
    ) -> Box:
        high, wide = self.height / 2, self.width / 2
        sides = (side.draw(stream) * high, side.draw(stream) * wide)
        angle = 0.0 if upright else stream.uniform(0, math.pi)
        sheared = (stream.normal(shear), stream.normal(shear)) if shear else (0.0, 0.0)
        # The released code shrinks a turned shape that reaches further than its largest side.
        limit = (side.high * high, side.high * wide) if self.place == "inside" else None
        box = make_box(*sides, angle=angle, shear=sheared, limit=limit)
        row, column = self._draw_centre(box, stream, depth=depth * max(box.extent))
        return box.at(row, column)

    def _draw_centre(self, box: Box, stream: SeededStream, *, depth: float) -> tuple[float, float]:
        down, right = box.extent
        if self.body is not None:
            row, column = draw_centre(
                self.body, stream, depth=max(depth, _RIM), height=self.height, width=self.width
            )
            return _within(row, down, self.height), _within(column, right, self.width)
        if self.place == "inside":
            return _inside(down, self.height, stream), _inside(right, self.width, stream)
        return stream.uniform(0, self.height - 1), stream.uniform(0, self.width - 1)


def _inside(extent: float, size: int, stream: SeededStream) -> float:
    """Draw a centre so that the box is within the image; the middle if it is too large."""
    middle = (size - 1) / 2
    return stream.uniform(min(extent, middle), max(size - 1 - extent, middle))


def _within(place: float, extent: float, size: int) -> float:
    """Move a centre so that the box is within the image, as far as it fits."""
    middle = (size - 1) / 2
    return min(max(place, min(extent, middle)), max(size - 1 - extent, middle))
