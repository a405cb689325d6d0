"""A fitted detector as one safetensors blob, its description as JSON in the metadata."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from ai_core.backbone.tower import Precision
from ai_core.errors import CorruptDetectorError, PresetError
from ai_core.presets import Preset

FORMAT_VERSION = 1
"""Raised whenever older code could not read what newer code writes."""

_KEY = "mediclip_detector"
_LENGTH_BYTES = 8
_TENSORS = "tensors_sha256"
_SEAL = "description_sha256"


@dataclass(frozen=True, slots=True)
class DetectorInfo:
    """What a fitted detector says about itself.

    Attributes:
        preset: the choices that it was fitted with.
        backbone: name of the open_clip model.
        weights: the backbone's weights as they were configured (tag, path, "bundled",
            "untrained").
        backbone_sha256: digest of the backbone's architecture and parameters.
        blocks: tapped blocks, counted from 1.
        precision: in which the tower multiplied, and does for this detector from then on, where
            the machine can: "fp32" or "bf16".
        seed: the generator's seed at the start of the fit.
        support_sha256: SHA-256 of each support tensor, in the order they were given.
        format_version: layout of the saved form.
    """

    preset: Preset
    backbone: str
    weights: str
    backbone_sha256: str
    blocks: tuple[int, ...]
    precision: Precision
    seed: int
    support_sha256: tuple[str, ...]
    format_version: int = FORMAT_VERSION

    @property
    def k(self) -> int:
        """Number of support images."""
        return len(self.support_sha256)


def pack(tensors: dict[str, Tensor], info: DetectorInfo) -> bytes:
    """One safetensors blob; the same content gives the same bytes.

    The description holds a digest of the tensors and one of itself, so that damage is noticed.
    All of it is one entry, because safetensors writes several in any order.
    """
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    description = {**_to_plain(info), _TENSORS: tensors_sha256(plain)}
    sealed = json.dumps({**description, _SEAL: _seal(description)}, sort_keys=True)
    return save_tensors(plain, metadata={_KEY: sealed})


def unpack(data: bytes) -> tuple[dict[str, Tensor], DetectorInfo]:
    """The inverse of `pack`.

    Raises:
        CorruptDetectorError: not such a blob, a damaged one, or one of a newer format.
    """
    description = _read_description(data)
    try:
        tensors = load_tensors(data)
    except (SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise CorruptDetectorError(f"the saved detector is damaged: {error}") from error
    if tensors_sha256(tensors) != description[_TENSORS]:
        raise CorruptDetectorError("the saved detector is damaged: its tensors are not as written")
    return tensors, _from_plain(description)


def read_info(data: bytes) -> DetectorInfo:
    """Read only the description of a saved detector.

    Raises:
        CorruptDetectorError: not such a blob, a damaged one, or one of a newer format.
    """
    return _from_plain(_read_description(data))


def tensors_sha256(tensors: dict[str, Tensor]) -> str:
    """Digest over names, shapes, types and bytes of tensors."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        plain = tensor.detach().cpu().contiguous()
        digest.update(f"{name}{tuple(plain.shape)}{plain.dtype}".encode())
        digest.update(plain.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _read_description(data: bytes) -> dict[str, Any]:
    length = int.from_bytes(data[:_LENGTH_BYTES], "little")
    if len(data) < _LENGTH_BYTES or length > len(data) - _LENGTH_BYTES:
        raise CorruptDetectorError("these bytes are no saved detector, or only part of one")
    try:
        header = json.loads(data[_LENGTH_BYTES : _LENGTH_BYTES + length])
        values: dict[str, Any] = json.loads(header["__metadata__"][_KEY])
        version = int(values["format_version"])
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptDetectorError("these bytes are no saved detector") from error
    if version > FORMAT_VERSION:
        raise CorruptDetectorError(
            f"saved in format {version}, this software reads up to {FORMAT_VERSION}: update it"
        )
    if values.pop(_SEAL, None) != _seal(values):
        raise CorruptDetectorError("the saved detector's description is damaged")
    return values


def _seal(description: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()


def _to_plain(info: DetectorInfo) -> dict[str, Any]:
    return {
        "preset": info.preset.to_dict(),
        "backbone": info.backbone,
        "weights": info.weights,
        "backbone_sha256": info.backbone_sha256,
        "blocks": list(info.blocks),
        "precision": info.precision,
        "seed": info.seed,
        "support_sha256": list(info.support_sha256),
        "format_version": info.format_version,
    }


def _from_plain(values: dict[str, Any]) -> DetectorInfo:
    try:
        return DetectorInfo(
            preset=Preset.from_dict(values["preset"]),
            backbone=values["backbone"],
            weights=values["weights"],
            backbone_sha256=values["backbone_sha256"],
            blocks=tuple(values["blocks"]),
            precision=values["precision"],
            seed=values["seed"],
            support_sha256=tuple(values["support_sha256"]),
            format_version=values["format_version"],
        )
    except (KeyError, TypeError, PresetError) as error:
        raise CorruptDetectorError(
            f"the saved detector's description is damaged: {error}"
        ) from error
