"""Settings of synthetic anomalies: the paper's, the released code's, and our default."""

from dataclasses import dataclass, field, replace
from typing import Annotated, Literal, get_args

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt, with_config

from ai_core.errors import PresetError
from ai_core.stored import STRICT, Share
from ai_core.synthesis.distributions import Distribution

Task = Literal["cutpaste", "intensity", "source", "identity"]
"""A synthesis task: the paper's three, and none at all (the released code's fourth)."""

Label = Literal["mask", "visible"]
"""Labelled pixels: the mask and visible changes around it, or visible changes alone."""

Place = Literal["inside", "anywhere", "body"]
"""Place of anomalies: wholly within the image; centred on any pixel; or on the body only."""


@with_config(STRICT)
@dataclass(frozen=True, slots=True)
class PerlinSettings:
    """Masks from binarised Perlin noise.

    Attributes:
        cells: lattice scales, as cells along a side of the mask's box; drawn for either axis.
        bound: "ellipse" keeps the noise within a turned ellipse; "box" turns it by up to 90°
            within an upright box, as the released code does.
        share: smallest and largest share of the bound that the mask fills; the noise is cut
            where that leaves the share drawn.
        threshold: cut here instead, for noise in about [-1, 1].
        least: with a threshold, noise that leaves a smaller share of the box is drawn again.
    """

    cells: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (1, 2, 4)
    bound: Literal["ellipse", "box"] = "ellipse"
    share: tuple[Share, Share] = (0.35, 0.9)
    threshold: float | None = None
    least: Share = 0.2


@with_config(STRICT)
@dataclass(frozen=True, slots=True)
class CutPasteSettings:
    """A piece of another normal image.

    Attributes:
        side: sides of the mask's box, as shares of the image's sides.
        mask: the piece's outline.
        turn: largest turn of the piece either way, in degrees.
        scale: enlargement of the piece.
        reach: how far from the target's own place the piece may come, as a share of the image's
            side; 1 is anywhere.
        blend: "poisson", or "paste" without any blending.
        label: what is labelled.
    """

    side: Distribution = field(default=Distribution("uniform", 0.1, 0.6))
    mask: PerlinSettings = field(default_factory=PerlinSettings)
    turn: NonNegativeFloat = 45.0
    scale: Distribution = field(default=Distribution("stretch", 0.5, 2.0))
    reach: NonNegativeFloat = 1.0
    blend: Literal["poisson", "paste"] = "poisson"
    label: Label = "mask"


@with_config(STRICT)
@dataclass(frozen=True, slots=True)
class IntensitySettings:
    """Smooth noise added or taken away, I + γ · G · M (MediCLIP Eq. 4).

    Attributes:
        side: sides of the mask's box, as shares of the image's sides.
        mask: the outline of M.
        gamma: |γ|; the sign is drawn.
        noise_sigma: deviation of the Gaussian filter that makes G, in pixels.
        edge_sigma: softness of the edge of M, in pixels; 0 is hard.
        edge: "both" softens either side of the edge, "inside" leaves pixels outside unchanged.
        ellipse_share: share of plain ellipses instead of Perlin noise.
        flat_share: share of changes without texture, that is with G = 1.
        label: what is labelled.
    """

    side: Distribution = field(default=Distribution("uniform", 0.3, 0.8))
    mask: PerlinSettings = field(default_factory=PerlinSettings)
    gamma: Distribution = field(default=Distribution("uniform", 0.4, 0.6))
    noise_sigma: Distribution = field(default=Distribution("either", 4.0, 7.0))
    edge_sigma: Distribution = field(default=Distribution("uniform", 0.0, 0.0))
    edge: Literal["both", "inside"] = "both"
    ellipse_share: Share = 0.0
    flat_share: Share = 0.0
    label: Label = "mask"


@with_config(STRICT)
@dataclass(frozen=True, slots=True)
class SourceSettings:
    """The inside of an ellipse or a rectangle pushed outwards (MediCLIP Eq. 5).

    Attributes:
        side: sides of the shape, as shares of the image's sides.
        alpha: the exponent α.
        centre: the point that is stretched: the "middle" of the shape, or "drawn" within it.
        shear: deviation of the shape's shear, 0 for none.
        label: what is labelled.
    """

    side: Distribution = field(default=Distribution("uniform", 0.2, 0.6))
    alpha: Distribution = field(default=Distribution("uniform", 2**0.5, 4.0))
    centre: Literal["middle", "drawn"] = "middle"
    shear: NonNegativeFloat = 0.0
    label: Label = "mask"


@with_config(STRICT)
@dataclass(frozen=True, slots=True)
class SynthesisSettings:
    """Synthetic anomalies. The defaults are the paper's text.

    Attributes:
        tasks: tasks with equal odds; a task named twice has twice the odds.
        anomalies: how many anomalies of its task an image gets, with equal odds.
        place: place of the anomalies.
        visible: smallest change of a pixel that counts as visible, for values in [0, 1].
        attempts: at most so many draws until something changes visibly, then the image stays
            normal; 0 takes the first draw, whatever it changes.
        cutpaste: of the task of that name.
        intensity: of the task of that name.
        source: of the task of that name.
    """

    tasks: tuple[Task, ...] = ("cutpaste", "intensity", "source")
    anomalies: tuple[PositiveInt, ...] = (1,)
    place: Place = "inside"
    visible: Share = 0.03
    attempts: NonNegativeInt = 8
    cutpaste: CutPasteSettings = field(default_factory=CutPasteSettings)
    intensity: IntensitySettings = field(default_factory=IntensitySettings)
    source: SourceSettings = field(default_factory=SourceSettings)

    def __post_init__(self) -> None:
        known = get_args(Task)
        for task in self.tasks:
            if task not in known:
                raise PresetError(f"no synthesis task {task!r}; there are {', '.join(known)}")
        if not (self.tasks and self.anomalies):
            raise PresetError("synthesis needs at least one task and one number of anomalies")


PAPER_SYNTHESIS = SynthesisSettings()
"""The text of MediCLIP section 2.2; sizes, which it leaves open, are the released code's."""

_OFFICIAL_MASK = PerlinSettings(cells=(1,), bound="box", threshold=0.3)

OFFICIAL_SYNTHESIS = SynthesisSettings(
    tasks=("cutpaste", "intensity", "source", "identity"),
    anomalies=(1, 2),
    visible=1 / 255,
    attempts=0,
    cutpaste=CutPasteSettings(mask=_OFFICIAL_MASK, blend="paste", label="visible"),
    intensity=IntensitySettings(
        mask=_OFFICIAL_MASK, edge_sigma=Distribution("uniform", 1.0, 4.0), edge="inside"
    ),
    source=SourceSettings(
        side=Distribution("gamma", 0.2, 0.6),
        alpha=Distribution("log-uniform", 2**0.5, 4.0),
        centre="drawn",
        shear=0.2,
    ),
)
"""The choices of the authors' released code: no blending, single-cell masks, four tasks.

Not reproduced: its spline interpolation (ours is bilinear), and rounding to 256 grey levels.
"""

_PAPER_MASK = PerlinSettings()

DEFAULT_SYNTHESIS = replace(
    OFFICIAL_SYNTHESIS,
    cutpaste=replace(OFFICIAL_SYNTHESIS.cutpaste, mask=_PAPER_MASK),
    intensity=replace(OFFICIAL_SYNTHESIS.intensity, mask=_PAPER_MASK),
)
"""The released code's anomalies in the paper's outlines: Perlin noise at several scales."""


def on_body(settings: SynthesisSettings) -> SynthesisSettings:
    """Return the same anomalies, but on the body, and drawn again until they are visible.

    No preset takes it: docs/results.md says why.
    """
    return replace(settings, place="body", visible=0.03, attempts=8)
