"""Errors of the detector, one type for each cause that a caller may handle."""

from collections.abc import Sequence
from pathlib import Path


class DetectorError(Exception):
    """Base of every error that `ai_core` raises on purpose.

    Example:
        >>> from ai_core import DetectorError, get_preset
        >>> try:
        ...     get_preset("best")
        ... except DetectorError as error:
        ...     print(type(error).__name__)
        PresetError
    """


class BackboneUnavailableError(DetectorError):
    """Weights or architecture of the backbone are not available on this machine.

    Example:
        >>> from ai_core import BackboneUnavailableError, load_backbone
        >>> try:
        ...     load_backbone("ViT-L-14", "missing/weights.pt", device="cpu")
        ... except BackboneUnavailableError as error:
        ...     print(error.model, error.weights, error.reason, sep=", ")
        ViT-L-14, missing/weights.pt, there is no such file
    """

    def __init__(self, *, model: str, weights: str, cache_dir: Path | str, reason: str) -> None:
        self.model = model
        self.weights = weights
        self.cache_dir = str(cache_dir)
        self.reason = reason
        super().__init__(
            f"no weights {weights!r} for backbone {model!r}: {reason}. Looked in the cache folder "
            f"{self.cache_dir}. Either let this machine reach the model hub once, or copy a "
            f"weights file (.safetensors, .pt or .bin, made for {model!r}) onto it and "
            f"give its path as the weights."
        )


class UnknownWeightsError(BackboneUnavailableError):
    """A weights file that several models fit: its activation or its colours are not known.

    Example:
        >>> from ai_core import UnknownWeightsError
        >>> choices = ["QuickGELU: openai", "GELU: laion2b_s34b_b79k"]
        >>> error = UnknownWeightsError(model="ViT-B-32", weights="own.pt", choices=choices)
        >>> "tag" in str(error)
        True
    """

    def __init__(self, *, model: str, weights: str, choices: Sequence[str]) -> None:
        self.model = model
        self.weights = weights
        self.cache_dir = ""
        self.reason = "the model's tags differ, and nothing with the file says which it is"
        DetectorError.__init__(
            self,
            f"the weights file {weights!r} does not say with which activation and normalisation it "
            f"was trained, and weights of {model!r} differ: {'; '.join(choices)}. Name its tag "
            f"(tag in [backbone], --tag, or load_backbone(tag=…)), put its open_clip_config.json "
            f"next to it, or give such a config as the model. The tag 'earlier' reads it as "
            f"version 0.1 did",
        )


class UnsupportedBackboneError(DetectorError):
    """A known model whose patch tokens can't be tapped; refused before anything is downloaded.

    Example:
        >>> from ai_core import UnsupportedBackboneError, load_backbone
        >>> try:
        ...     load_backbone("RN50", "openai", device="cpu")
        ... except UnsupportedBackboneError as error:
        ...     print(error.reason.partition(":")[0], error.nearest, sep=", ")
        its tower is a ResNet, ViT-B-16
    """

    def __init__(self, model: str, *, reason: str, nearest: str) -> None:
        self.model = model
        self.reason = reason
        self.nearest = nearest
        super().__init__(
            f"backbone {model!r} can't be used: {reason}. The nearest accepted model is "
            f"{nearest!r}; docs/choosing-a-backbone.md lists all families"
        )


class DeviceMemoryError(DetectorError):
    """The device's memory does not hold the backbone's work on a single image.

    Example:
        >>> from ai_core import DetectorError, DeviceMemoryError
        >>> issubclass(DeviceMemoryError, DetectorError)
        True
    """


class WeightsMismatchError(DetectorError):
    """A fitted detector was loaded onto another backbone than it was fitted on.

    Example:
        >>> from dataclasses import replace
        >>> import torch
        >>> from ai_core import QUICK, Detector, WeightsMismatchError, load_backbone
        >>> backbone = load_backbone(weights="untrained", device="cpu")
        >>> small = replace(QUICK, training=replace(QUICK.training, pool_images=2, updates=1))
        >>> generator = torch.Generator().manual_seed(0)
        >>> normals = torch.rand(2, 3, 224, 224, generator=generator)
        >>> saved = Detector.fit(
        ...     normals, backbone=backbone, preset=small, generator=generator
        ... ).to_bytes()
        >>> other = load_backbone(weights="untrained", device="cpu", seed=1)
        >>> try:
        ...     Detector.from_bytes(saved, backbone=other)
        ... except WeightsMismatchError as error:
        ...     print(str(error).partition(" (")[0])
        fitted on 'untrained'
    """


class ImageInputError(DetectorError, ValueError):
    """Images with a wrong shape, type or range, or with values that are not finite.

    Example:
        >>> import torch
        >>> from ai_core import ImageInputError, load_backbone
        >>> backbone = load_backbone(weights="untrained", device="cpu")
        >>> try:
        ...     backbone.encode(torch.full((1, 3, 224, 224), 255.0))
        ... except ImageInputError as error:
        ...     print(error)
        image values must be in [0, 1], not in [255, 255]
    """


class SupportSetError(DetectorError, ValueError):
    """A support set that no detector can be fitted on.

    Example:
        >>> import torch
        >>> from ai_core import Detector, SupportSetError, load_backbone
        >>> try:
        ...     Detector.fit(
        ...         torch.rand(1, 3, 224, 224),
        ...         backbone=load_backbone(weights="untrained", device="cpu"),
        ...         generator=torch.Generator(),
        ...     )
        ... except SupportSetError as error:
        ...     print(error)
        a support set needs at least 2 normal images, got 1
    """


class CalibrationError(DetectorError, ValueError):
    """Scores, groups or rates from which no operating point can be made.

    Example:
        >>> from ai_core import CalibrationError, normals_needed
        >>> try:
        ...     normals_needed(5)
        ... except CalibrationError as error:
        ...     print(error)
        the false-positive rate must be between 0 and 1, not 5
    """


class PresetError(DetectorError, ValueError):
    """A preset that does not exist or contradicts itself.

    Example:
        >>> from ai_core import DEFAULT, Preset, PresetError
        >>> try:
        ...     Preset.from_dict({**DEFAULT.to_dict(), "temperature": -1.0})
        ... except PresetError as error:
        ...     print(error)
        these values make no preset: temperature: input should be greater than 0, not -1.0
    """


class CorruptDetectorError(DetectorError):
    """Bytes that are not a saved detector, or not a whole one.

    Example:
        >>> from ai_core import CorruptDetectorError, read_detector_info
        >>> try:
        ...     read_detector_info(b"")
        ... except CorruptDetectorError as error:
        ...     print(error)
        these bytes are no saved detector, or only part of one
    """


class PictureError(DetectorError, ValueError):
    """A file is no picture, or not one that can be taken for a medical image.

    Example:
        >>> from pathlib import Path
        >>> from ai_core import PictureError
        >>> from ai_core.images import read_picture
        >>> try:
        ...     read_picture(Path("missing.png"))
        ... except PictureError as error:
        ...     print(str(error).partition(":")[0])
        missing.png can't be read as a picture
    """


class EvaluationError(DetectorError, ValueError):
    """A data set, support set or output folder from which no honest figure can be made."""


class PretrainingError(DetectorError, ValueError):
    """Pictures, lists, settings or a checkpoint from which no honest backbone can be trained."""
