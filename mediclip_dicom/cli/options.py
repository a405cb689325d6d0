"""Option values that several commands parse: lists of numbers, presets, windows."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand

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


class WindowCommand(TyperCommand):
    """Command whose --window also takes two words, centre and width, as it did until 0.1.0."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Join `--window 40 80` to `--window 40,80` before the options are parsed."""
        joined: list[str] = []
        for word in args:
            if joined[-2:-1] == ["--window"] and _is_number(joined[-1]) and _is_number(word):
                joined[-1] = f"{joined[-1]},{word}"
            else:
                joined.append(word)
        return super().parse_args(ctx, joined)


def parse_windows(texts: Iterable[str]) -> "tuple[Window, ...]":
    """Parse the values of a repeated --window.

    Raises:
        typer.BadParameter: a name or form that there is not, or a width below 1.
    """
    from mediclip_dicom.imaging import parse_window

    try:
        return tuple(parse_window(text) for text in texts)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--window") from error


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _parse_numbers(text: str, *, least: int) -> Numbers:
    try:
        numbers = Numbers(int(part) for part in text.split(","))
    except ValueError as error:
        raise typer.BadParameter("whole numbers are needed, with commas as in 4,8") from error
    if min(numbers) < least:
        raise typer.BadParameter(f"numbers of at least {least} are needed")
    return numbers
