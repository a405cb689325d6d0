"""The description of a saved detector, readable without torch and without a backbone."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from pydantic import with_config

from ai_core.backbone import Precision
from ai_core.errors import CorruptDetectorError
from ai_core.presets import Preset
from ai_core.stored import STRICT, from_plain

FORMAT_VERSION = 2
"""Format version, raised whenever older code could not read newer files: 2 since a detector may
hold the heads of several folds."""

KEY = "mediclip_detector"
"""Key of the description in the safetensors metadata."""

TENSORS = "tensors_sha256"
"""Key of the tensors' digest in the description."""

_LENGTH_BYTES = 8
_SEAL = "description_sha256"


@with_config(STRICT)
@dataclass(frozen=True, slots=True)
class DetectorInfo:
    """Description of a fitted detector.

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

    Example:
        >>> from ai_core import DEFAULT, DetectorInfo
        >>> info = DetectorInfo(
        ...     preset=DEFAULT,
        ...     backbone="ViT-L-14",
        ...     weights="openai",
        ...     backbone_sha256="0" * 64,
        ...     blocks=(12, 18, 24),
        ...     precision="bf16",
        ...     seed=0,
        ...     support_sha256=("1" * 64, "2" * 64),
        ... )
        >>> info.k, info.preset.name
        (2, 'default')
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


def read_detector_info(data: bytes) -> DetectorInfo:
    """Read only the description of a saved detector.

    Raises:
        CorruptDetectorError: not such a blob, a damaged one, or one of a newer format.

    Example:
        >>> from ai_core import CorruptDetectorError, read_detector_info
        >>> try:
        ...     read_detector_info(b"text")
        ... except CorruptDetectorError as error:
        ...     print(error)
        these bytes are no saved detector, or only part of one
    """
    return _info_from(read_description(data))


def read_description(data: bytes) -> dict[str, Any]:
    """Read the sealed JSON of a saved detector; errors as `read_detector_info`."""
    length = int.from_bytes(data[:_LENGTH_BYTES], "little")
    if len(data) < _LENGTH_BYTES or length > len(data) - _LENGTH_BYTES:
        raise CorruptDetectorError("these bytes are no saved detector, or only part of one")
    try:
        header = json.loads(data[_LENGTH_BYTES : _LENGTH_BYTES + length])
        values: dict[str, Any] = json.loads(header["__metadata__"][KEY])
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


def seal_description(info: DetectorInfo, *, tensors: str) -> str:
    """Return the description as JSON, with a digest over itself and that of the tensors."""
    description = {**_to_plain(info), TENSORS: tensors}
    return json.dumps({**description, _SEAL: _seal(description)}, sort_keys=True)


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


def _info_from(description: dict[str, Any]) -> DetectorInfo:
    values = {name: value for name, value in description.items() if name != TENSORS}
    try:
        Preset.from_dict(values["preset"])  # says first which part of the preset is missing
        return from_plain(DetectorInfo, values)
    except (KeyError, ValueError) as error:
        raise CorruptDetectorError(
            f"the saved detector's description is damaged: {error}"
        ) from error
