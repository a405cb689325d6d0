"""Saved detectors in format 1, assembled without ai_core: old databases hold such bytes.

Their descriptions (`saved_detectors.json`) are those that version 0.1.0 wrote. They stay as they
are when a preset gets another setting or a setting another name: the bytes in a database do, too.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

_DESCRIPTIONS = Path(__file__).with_suffix(".json")
_TEXT_SHAPE = (2, 4)


def saved_detector(preset: Literal["default", "official"]) -> bytes:
    """Return a safetensors blob with a sealed description and one tensor."""
    descriptions = json.loads(_DESCRIPTIONS.read_text(encoding="utf-8"))
    tensor = bytes(4 * _TEXT_SHAPE[0] * _TEXT_SHAPE[1])
    digest = hashlib.sha256(f"text{_TEXT_SHAPE}torch.float32".encode() + tensor)
    description = {**descriptions[preset], "tensors_sha256": digest.hexdigest()}
    sealed = {**description, "description_sha256": _sha256_of(description)}
    header = {
        "__metadata__": {"mediclip_detector": json.dumps(sealed, sort_keys=True)},
        "text": {"dtype": "F32", "shape": _TEXT_SHAPE, "data_offsets": [0, len(tensor)]},
    }
    encoded = json.dumps(header).encode()
    return len(encoded).to_bytes(8, "little") + encoded + tensor


def _sha256_of(description: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()
