"""Settings of a distillation; with teacher and pictures they determine its bytes."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from ai_core.errors import PretrainingError


@dataclass(frozen=True, slots=True, kw_only=True)
class CropSettings:
    """Augmentation of a picture before teacher and student see it.

    Attributes:
        area: smallest and largest share of the picture's area in a crop.
        aspect: largest width over height of a crop, and the inverse of the smallest.
        flip: odds of a left-right flip.
        upside_down: odds of a top-bottom flip.
        turn: odds of a turn by 90, 180 or 270 degrees.
        brightness: largest shift of the values, either way.
        contrast: largest factor about the picture's mean, and the inverse of the smallest.
        gamma: largest exponent of the values, and the inverse of the smallest.
        anomaly: odds of synthetic anomalies as the released code of MediCLIP makes them, so that
            the student has seen what the teacher says of such things, too.
        blur: odds of a Gaussian blur.
        blur_sigma: its smallest and largest deviation in pixels.
        noise: odds of grey Gaussian noise.
        noise_sigma: its largest deviation.
        invert: odds of black for white.
    """

    area: tuple[float, float] = (0.3, 1.0)
    aspect: float = 4 / 3
    flip: float = 0.5
    upside_down: float = 0.1
    turn: float = 0.1
    brightness: float = 0.15
    contrast: float = 1.5
    gamma: float = 1.5
    anomaly: float = 0.5
    blur: float = 0.2
    blur_sigma: tuple[float, float] = (0.3, 1.5)
    noise: float = 0.2
    noise_sigma: float = 0.05
    invert: float = 0.05

    def __post_init__(self) -> None:
        turns = (self.flip, self.upside_down, self.turn)
        odds = (*turns, self.anomaly, self.blur, self.noise, self.invert)
        if not all(0 <= value <= 1 for value in odds):
            raise PretrainingError(f"odds must be in [0, 1], not {odds}")
        if not 0 < self.area[0] <= self.area[1] <= 1:
            raise PretrainingError(f"a crop's area must be in (0, 1], not {self.area}")
        if not 0 < self.blur_sigma[0] <= self.blur_sigma[1]:
            raise PretrainingError(f"a blur's deviations must be positive, not {self.blur_sigma}")
        if min(self.aspect, self.contrast, self.gamma) < 1:
            raise PretrainingError("a crop's aspect, contrast and gamma are factors of at least 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class LesionSettings:
    """A drawn lesion, for the distillation of differences.

    Attributes:
        contrast: smallest and largest change of the values, either way.
        flat: odds that the lesion's own texture is gone: its mean, changed by the contrast.
        radius: smallest and largest half axis of the ellipse, as a share of the image's side.
        edge: narrowest and widest transition, as a share of the half axes.
    """

    contrast: tuple[float, float] = (0.1, 0.3)
    flat: float = 0.5
    radius: tuple[float, float] = (0.04, 0.14)
    edge: tuple[float, float] = (0.05, 0.25)

    def __post_init__(self) -> None:
        if not 0 <= self.flat <= 1:
            raise PretrainingError(f"odds of flat lesions must be in [0, 1], not {self.flat}")
        for name in ("contrast", "radius", "edge"):
            low, high = getattr(self, name)
            if not 0 < low <= high < 0.5:
                raise PretrainingError(f"a lesion's {name} must be in (0, 0.5), not {(low, high)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainingSettings:
    """A distillation.

    Attributes:
        steps: updates in all; the learning rate's schedule spans them.
        batch: crops in an update.
        seed: of every draw.
        learning_rate: highest one, after warm-up (AdamW).
        weight_decay: AdamW's, on matrices only.
        warmup: share of the steps in which the learning rate rises from 0.
        average: decay of the weights' moving average, which is what is kept in the end.
        clip: largest norm of the gradient.
        embedding_weight: weight of the global embedding against the patch tokens.
        difference_weight: weight of the differences that a lesion makes. With 0 there are no
            lesions; else every crop comes three times: as it is, with a bright lesion, and with a
            dark one in the same place.
        shown: share of its patches that the student gets to see of a crop, drawn anew for each;
            fewer make an update cheaper, and more of them fit into an hour.
        whole_last: share of the updates, at the end, in which it sees all of them.
        crops_per_image: fixed crops of a picture for each of its turns, whose teacher features are
            computed once and kept on disk; 0 for new crops, and the teacher's work, at every step.
        standard_images: pictures from which mean and deviation of the teacher's channels come.
        precision: of the student's forward pass; with "bf16" its weights are still kept and
            updated in float32.
        crops: how pictures are changed.
        lesions: how they are drawn where differences count.
    """

    steps: int = 2000
    batch: int = 32
    seed: int = 0
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    warmup: float = 0.05
    average: float = 0.999
    clip: float = 1.0
    embedding_weight: float = 0.5
    difference_weight: float = 0.0
    shown: float = 1.0
    whole_last: float = 0.1
    crops_per_image: int = 0
    standard_images: int = 128
    precision: Literal["fp32", "bf16"] = "fp32"
    crops: CropSettings = field(default_factory=CropSettings)
    lesions: LesionSettings = field(default_factory=LesionSettings)

    def __post_init__(self) -> None:
        if min(self.steps, self.batch, self.standard_images) < 1:
            raise PretrainingError("steps, batch and standard_images must be at least 1")
        if self.crops_per_image < 0 or self.seed < 0:
            raise PretrainingError("crops_per_image and seed must not be negative")
        if min(self.embedding_weight, self.difference_weight) < 0:
            raise PretrainingError("embedding_weight and difference_weight must not be negative")
        if self.precision not in ("fp32", "bf16"):
            raise PretrainingError(f'precision is "fp32" or "bf16", not {self.precision!r}')
        if min(self.learning_rate, self.clip) <= 0:
            raise PretrainingError("learning_rate and clip must be positive")
        if not (0 <= self.warmup < 1 and 0 <= self.average < 1):
            raise PretrainingError("warmup and average must be in [0, 1)")
        if not (0 < self.shown <= 1 and 0 <= self.whole_last <= 1):
            raise PretrainingError("shown must be in (0, 1], and whole_last in [0, 1]")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values as JSON holds them: tuples are lists."""
        values = asdict(self)
        for part in ("crops", "lesions"):
            values[part] = {
                name: list(value) if isinstance(value, tuple) else value
                for name, value in values[part].items()
            }
        return values
