"""Preparation of an image for the detector: windows, crop to the body, tiles."""

from dataclasses import dataclass

from ai_core.images import MOST_TIMES, Mode, Views
from mediclip_dicom.imaging.display import Window


@dataclass(frozen=True, slots=True)
class Preparation:
    """What is done to the images of a task before the detector sees them.

    Attributes:
        mode: "pad" keeps the aspect ratio, "stretch" does not (see `Placement`).
        windows: windows that the task fixes, one pass each; none takes the header's own.
        crop: the box around the body alone is shown; what is outside counts as normal.
        tiles: times that an image is enlarged, to be seen in overlapping tiles; 1 to 4.

    Raises:
        ValueError: an enlargement outside 1 to 4, or a window twice.
    """

    mode: Mode
    windows: tuple[Window, ...] = ()
    crop: bool = False
    tiles: int = 1

    def __post_init__(self) -> None:
        if len(set(self.windows)) < len(self.windows):
            raise ValueError("a window is named twice")
        if not 1 <= self.tiles <= MOST_TIMES:
            raise ValueError(
                f"an image is enlarged 1 to {MOST_TIMES} times for its tiles, not {self.tiles}"
            )

    @property
    def views(self) -> Views:
        """Detector inputs of one image."""
        return Views(windows=max(1, len(self.windows)))

    @property
    def passes(self) -> int:
        """Passes of the frozen tower for one image: a window each, and in it a tile each."""
        return self.views.count * (2 * self.tiles - 1) ** 2

    @property
    def renderings(self) -> tuple[Window | None, ...]:
        """Windows that an image is decoded with; None is the header's own."""
        return self.windows or (None,)
