"""Options that take several numbers, as people type them: `--k 4 8`, `--k 4,8`, `--k 4 --k 8`."""

from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperCommand

NUMBER_LISTS = ("--k", "--seeds")


class NumberListCommand(TyperCommand):
    """A command whose options in `NUMBER_LISTS` may part their numbers by spaces."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As Typer does, after `joined`."""
        return super().parse_args(ctx, joined(args))


def joined(arguments: Sequence[str]) -> list[str]:
    """The arguments, with the numbers that follow an option of a list in one, parted by commas."""
    found: list[str] = []
    in_list = False
    for argument in arguments:
        is_number = argument.replace(",", "").isdecimal()
        if in_list and is_number and found[-1] not in NUMBER_LISTS:
            found[-1] += f",{argument}"
        else:
            found.append(argument)
            in_list = argument in NUMBER_LISTS or (in_list and is_number)
    return found


def whole_numbers(texts: Sequence[str], *, option: str, least: int) -> tuple[int, ...]:
    """Numbers from a repeated option, each of them one or several parted by commas.

    Raises:
        typer.BadParameter: Something else, or a number that is too small.
    """
    try:
        found = [int(part) for text in texts for part in text.replace(",", " ").split()]
    except ValueError as error:
        raise typer.BadParameter(
            f"whole numbers are needed, as in {option} 4 8 or {option} 4,8", param_hint=option
        ) from error
    if not found or min(found) < least:
        raise typer.BadParameter(f"numbers of at least {least} are needed", param_hint=option)
    return tuple(dict.fromkeys(found))
