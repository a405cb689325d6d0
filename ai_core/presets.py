"""Presets: the paper's text, the released code, and our default."""

from dataclasses import asdict, dataclass, field, replace
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    with_config,
)

from ai_core.errors import PresetError
from ai_core.model import BlendSettings, Fusion, PatchBankSettings, PromptSettings
from ai_core.stored import STRICT, Share, from_plain
from ai_core.synthesis import (
    DEFAULT_SYNTHESIS,
    OFFICIAL_SYNTHESIS,
    PAPER_SYNTHESIS,
    SynthesisSettings,
)


@with_config(STRICT)
@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """The fine-tune of adapters and prompts.

    Attributes:
        epochs: passes over the support set, each with fresh synthetic images, where nothing is
            pooled.
        pool_images: synthetic images whose frozen features are computed once and used again and
            again, but never fewer than there are support images; 0 for fresh images at every
            update.
        updates: optimiser steps on a pool; unused where nothing is pooled.
        prompts_every: prompts learn at every so many-th update, adapters at each; the text tower
            runs only then. Without adapters they learn at each.
        batch: synthetic images per update.
        learning_rate: of Adam.
        betas: of Adam.
        focal_gamma: focusing exponent of Eq. 3's focal term.
        average_last: share of the updates, at the end, whose weights are averaged; 0 keeps the
            last weights.
        standardise: give each feature channel mean 0 and deviation 1 over the support set.
        loss_side: pixels along a side at which the loss is taken.
    """

    epochs: PositiveInt = 200
    pool_images: NonNegativeInt = 0
    updates: NonNegativeInt = 0
    prompts_every: PositiveInt = 1
    batch: PositiveInt = 8
    learning_rate: PositiveFloat = 1e-3
    betas: tuple[Share, Share] = (0.5, 0.999)
    focal_gamma: NonNegativeFloat = 2.0
    average_last: Share = 0.0
    standardise: bool = False
    loss_side: PositiveInt = 224


@with_config(STRICT)
@dataclass(frozen=True, slots=True)
class Preset:
    """Every choice that makes a detector, apart from the backbone and the seed.

    Attributes:
        name: what it is called.
        geometry: how the application brings an image to 224x224: "stretch" as the authors do,
            or "pad", which keeps the aspect ratio.
        prompts: how the text vectors are made (Eq. 1).
        adapter: a linear adapter per tapped block learns; else the tower's own final norm and
            projection take its place (the paper's ablation).
        temperature: τ of Eq. 2.
        fusion: order of softmax and mean in Eq. 2.
        align_corners: of the bilinear upsampling in Eq. 2.
        map_scale: "probability" reports S_a itself; "log-odds" reports
            sigmoid(log(S_a / S_n) / 4), which ranks alike and does not tie near 1.
        image_score: "max" of the map, or the mean of its top share, "top-mean".
        top_share: share of pixels that "top-mean" takes.
        memory: the bank of normal patches; None leaves it out of the anomaly map.
        blend: weights of the terms of the anomaly map, each in deviations of held-out normals;
            None adds the patch bank's deviation to log(S_a / S_n) as it is.
        synthesis: how synthetic anomalies are drawn.
        training: the fine-tune.

    Example:
        >>> from dataclasses import replace
        >>> from ai_core import DEFAULT, PAPER, Preset
        >>> sharper = replace(DEFAULT, name="sharper", temperature=0.5)
        >>> Preset.from_dict(sharper.to_dict()) == sharper
        True
        >>> PAPER.temperature, PAPER.synthesis.tasks
        (0.07, ('cutpaste', 'intensity', 'source'))
    """

    name: str
    geometry: Literal["stretch", "pad"] = "stretch"
    prompts: PromptSettings = field(default_factory=PromptSettings)
    adapter: bool = True
    temperature: PositiveFloat = 0.07
    fusion: Fusion = "softmax-then-mean"
    align_corners: bool = False
    map_scale: Literal["probability", "log-odds"] = "probability"
    image_score: Literal["max", "top-mean"] = "max"
    top_share: Annotated[float, Field(gt=0, le=1)] = 0.005
    memory: PatchBankSettings | None = None
    blend: BlendSettings | None = None
    synthesis: SynthesisSettings = field(default_factory=SynthesisSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON.

        A choice that earlier versions did not have is left out where it is not made, so that what
        they stored has the same bytes when it is stored again.
        """
        values = asdict(self)
        if self.blend is None:
            del values["blend"]
        if self.memory is not None and not self.memory.whiten:
            del values["memory"]["whiten"]
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Preset":
        """Restore a preset from `to_dict`, also after a round trip through JSON.

        Raises:
            PresetError: unknown names, no name, or a part that is missing or of another kind.
        """
        if isinstance(values, dict) and (missing := _STORED_PARTS - {*values}):
            raise PresetError(f"a preset needs {', '.join(sorted(missing))}")
        try:
            return from_plain(cls, values)
        except ValueError as error:
            raise PresetError(f"these values make no preset: {error}") from error


_STORED_PARTS = {"prompts", "synthesis", "training"}
"""Parts that every stored preset holds, although `Preset` has defaults for them."""

PAPER = Preset(name="paper", synthesis=PAPER_SYNTHESIS)
"""The text of MediCLIP (MICCAI 2024); what it leaves open is taken from the released code."""

OFFICIAL = Preset(
    name="official",
    prompts=PromptSettings(per_class=True, ending=".", causal=False, unit_features=False),
    temperature=1.0,
    fusion="mean-then-softmax",
    align_corners=True,
    synthesis=OFFICIAL_SYNTHESIS,
)
"""The choices of the authors' released code, without its repeating random streams."""

DEFAULT = Preset(
    name="default",
    geometry="pad",
    temperature=1.0,
    fusion="mean-then-softmax",
    map_scale="log-odds",
    image_score="top-mean",
    top_share=0.002,
    memory=PatchBankSettings(weight=1.25, blocks="middle", place_weight=3.0, whiten=True),
    blend=BlendSettings(odds_weight=1.0, mirror_weight=0.4, level_share=1.0),
    synthesis=DEFAULT_SYNTHESIS,
    training=TrainingSettings(
        pool_images=128, updates=160, prompts_every=2, average_last=0.25, loss_side=56
    ),
)
"""The released code's model on a cached pool, aspect ratio kept, blended with a patch bank."""

QUICK = replace(
    DEFAULT,
    name="quick",
    training=replace(DEFAULT.training, pool_images=64, updates=100, prompts_every=4),
)
"""The default on half of the images and updates: for a large tower on a small machine."""

_PRESETS = (DEFAULT, QUICK, PAPER, OFFICIAL)


def preset_names() -> tuple[str, ...]:
    """Return the names that `get_preset` knows.

    Example:
        >>> from ai_core import preset_names
        >>> preset_names()
        ('default', 'quick', 'paper', 'official')
    """
    return tuple(preset.name for preset in _PRESETS)


def get_preset(name: str) -> Preset:
    """Return a preset by name.

    Raises:
        PresetError: there is none of that name.

    Example:
        >>> from ai_core import DEFAULT, get_preset
        >>> get_preset("default") is DEFAULT
        True
    """
    for preset in _PRESETS:
        if preset.name == name:
            return preset
    raise PresetError(f"no preset {name!r}; there are {', '.join(preset_names())}")
