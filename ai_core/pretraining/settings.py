"""Settings of a distillation; with teacher and pictures they determine its bytes."""

from dataclasses import asdict, dataclass, field
from typing import Any

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
        shown: share of its patches that the student gets to see of a crop, drawn anew for each;
            fewer make an update cheaper, and more of them fit into an hour.
        whole_last: share of the updates, at the end, in which it sees all of them.
        crops_per_image: fixed crops of a picture for each of its turns, whose teacher features are
            computed once and kept on disk; 0 for new crops, and the teacher's work, at every step.
        standard_images: pictures from which mean and deviation of the teacher's channels come.
        crops: how pictures are changed.
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
    shown: float = 1.0
    whole_last: float = 0.1
    crops_per_image: int = 0
    standard_images: int = 128
    crops: CropSettings = field(default_factory=CropSettings)

    def __post_init__(self) -> None:
        if min(self.steps, self.batch, self.standard_images) < 1:
            raise PretrainingError("steps, batch and standard_images must be at least 1")
        if self.crops_per_image < 0 or self.seed < 0:
            raise PretrainingError("crops_per_image and seed must not be negative")
        if min(self.learning_rate, self.clip) <= 0:
            raise PretrainingError("learning_rate and clip must be positive")
        if not (0 <= self.warmup < 1 and 0 <= self.average < 1):
            raise PretrainingError("warmup and average must be in [0, 1)")
        if not (0 < self.shown <= 1 and 0 <= self.whole_last <= 1):
            raise PretrainingError("shown must be in (0, 1], and whole_last in [0, 1]")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values as JSON holds them: tuples are lists."""
        values = asdict(self)
        values["crops"] = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values["crops"].items()
        }
        return values
