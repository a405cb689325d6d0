"""A fitted detector as one safetensors blob, its description as JSON in the metadata."""

import hashlib

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from ai_core.detector_info import (
    KEY,
    TENSORS,
    DetectorInfo,
    read_description,
    read_detector_info,
    seal_description,
)
from ai_core.errors import CorruptDetectorError


def pack(tensors: dict[str, Tensor], info: DetectorInfo) -> bytes:
    """Pack one safetensors blob; the same content gives the same bytes.

    The description holds a digest of the tensors and one of itself, so that damage is noticed.
    All of it is one entry, because safetensors writes several in any order.
    """
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    sealed = seal_description(info, tensors=tensors_sha256(plain))
    return save_tensors(plain, metadata={KEY: sealed})


def unpack(data: bytes) -> tuple[dict[str, Tensor], DetectorInfo]:
    """Unpack what `pack` made.

    Raises:
        CorruptDetectorError: not such a blob, a damaged one, or one of a newer format.
    """
    description = read_description(data)
    try:
        tensors = load_tensors(data)
    except (SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise CorruptDetectorError(f"the saved detector is damaged: {error}") from error
    if tensors_sha256(tensors) != description[TENSORS]:
        raise CorruptDetectorError("the saved detector is damaged: its tensors are not as written")
    return tensors, read_detector_info(data)


def tensors_sha256(tensors: dict[str, Tensor]) -> str:
    """Compute a SHA-256 over names, shapes, types and bytes of tensors."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        plain = tensor.detach().cpu().contiguous()
        digest.update(f"{name}{tuple(plain.shape)}{plain.dtype}".encode())
        digest.update(plain.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
