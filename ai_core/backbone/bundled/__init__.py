"""The bundled backbone: a small trained tower's open_clip config and weights.

What it has seen, what it is for and what it is not: docs/backbone.md.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from pathlib import Path

from ai_core.backbone.names import BUNDLED

__all__ = ["open_files"]


@contextmanager
def open_files() -> Iterator[tuple[Path, Path]]:
    """Give paths of the config and the weights, which exist while the context is open."""
    box = files(__name__)
    with (
        as_file(box / f"{BUNDLED}.json") as config,
        as_file(box / f"{BUNDLED}.safetensors") as weights,
    ):
        yield config, weights
