"""Checks of arguments that a notebook gets wrong: refused in words, before anything is computed."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from ai_core.errors import DetectorError, ImageInputError, PresetError, SupportSetError
from ai_core.presets import Preset, preset_names


def check_preset(preset: Any) -> None:
    """Check that a preset is one, and not its name.

    Raises:
        PresetError: it is something else.
    """
    if isinstance(preset, Preset):
        return
    if isinstance(preset, str):
        known = ", ".join(preset_names())
        raise PresetError(
            f"preset is a Preset, not the name {preset!r}: get_preset(name) gives that of a name "
            f"({known})"
        )
    raise PresetError(f"preset is a Preset, not {type(preset).__name__}")


def check_groups(groups: Sequence[int], *, count: int) -> None:
    """Check that there is one study index for each image.

    Raises:
        SupportSetError: another number of them, or something else than whole numbers.
    """
    values = list(groups)
    if len(values) != count:
        raise SupportSetError(
            f"{count} images, but {len(values)} groups; give the study index of each image"
        )
    if not all(_is_whole(value) for value in values):
        raise SupportSetError("groups are whole numbers, one study index for each image")


def check_batch_size(batch_size: int | None) -> None:
    """Check a number of images per call.

    Raises:
        ImageInputError: below 1, or no whole number.
    """
    if batch_size is not None and not (_is_whole(batch_size) and batch_size >= 1):
        raise ImageInputError(
            f"batch_size is a whole number of at least 1, or None for what suits the device, not "
            f"{batch_size!r}"
        )


def _is_whole(value: Any) -> bool:
    if isinstance(value, torch.Tensor):
        return value.ndim == 0 and not value.is_floating_point() and value.dtype != torch.bool
    return hasattr(value, "__index__") and not isinstance(value, bool)


@contextmanager
def gradients() -> Iterator[None]:
    """Let a fit compute gradients, under `torch.no_grad` as well.

    Raises:
        DetectorError: under `torch.inference_mode`, whose tensors take no gradients.
    """
    if torch.is_inference_mode_enabled():
        raise DetectorError(
            "a fit needs gradients, which torch.inference_mode() forbids; call it outside of that"
        )
    with torch.enable_grad():
        yield
