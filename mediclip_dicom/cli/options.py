"""Option values that several commands parse: lists of numbers, presets, windows."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from ai_core import Preset
    from mediclip_dicom.imaging import Window


class Numbers(tuple[int, ...]):
    """Whole numbers of one option, as in `--k 4,8`; the option may be repeated."""

    __slots__ = ()


def parse_support_sizes(text: str) -> Numbers:
    """Parse the value of --k."""
    return _parse_numbers(text, least=2)


def parse_seeds(text: str) -> Numbers:
    """Parse the value of --seeds."""
    return _parse_numbers(text, least=0)


def flatten(values: Iterable[Numbers]) -> tuple[int, ...]:
    """Join the values of a repeated option, each number once."""
    return tuple(dict.fromkeys(number for numbers in values for number in numbers))


def get_preset_option(name: str) -> "Preset":
    """Look up the preset that --preset names.

    Raises:
        typer.BadParameter: there is none of that name.
    """
    from ai_core import PresetError, get_preset

    try:
        return get_preset(name)
    except PresetError as error:
        raise typer.BadParameter(str(error), param_hint="--preset") from error


def make_window(center_and_width: tuple[float, float] | None) -> "Window | None":
    """Make the window of --window; None without the option.

    Raises:
        typer.BadParameter: the width is below 1.
    """
    if center_and_width is None:
        return None
    from mediclip_dicom.imaging import Window

    center, width = center_and_width
    try:
        return Window(center=center, width=width)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--window") from error


def _parse_numbers(text: str, *, least: int) -> Numbers:
    try:
        numbers = Numbers(int(part) for part in text.split(","))
    except ValueError as error:
        raise typer.BadParameter("whole numbers are needed, with commas as in 4,8") from error
    if min(numbers) < least:
        raise typer.BadParameter(f"numbers of at least {least} are needed")
    return numbers
