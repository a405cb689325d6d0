"""Sheets of pictures in rows and panels, drawn by matplotlib and written as PNG."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image

from ai_core.files import write_bytes

if TYPE_CHECKING:
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

Colour = tuple[int, int, int]
Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

BACKGROUND: Colour = (16, 18, 22)
TEXT: Colour = (232, 232, 236)
MUTED: Colour = (150, 152, 160)
MARK: Colour = (60, 200, 255)
"""Colour of a drawn truth or label."""

HEAT = "inferno"
"""matplotlib's colour map for anomaly maps: perceptually even, dark to bright."""

_DPI = 100
_FOOT = 84
_BAR = 260


@dataclass(frozen=True, slots=True)
class Layout:
    """Sizes of a sheet, in pixels.

    Attributes:
        tile: side of a picture.
        label_width: width of the column of labels at the left of each panel.
        gap: space between pictures.
        head: height above the first row, for titles.
    """

    tile: int = 210
    label_width: int = 150
    gap: int = 10
    head: int = 120

    def place(self, *, row: int, column: int) -> tuple[int, int]:
        """Return left and top of a picture in the first panel."""
        step = self.tile + self.gap
        return self.label_width + self.gap + column * step, self.head + row * step


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text in a row's label.

    Attributes:
        text: the words.
        colour: their colour.
        size: their height in pixels.
    """

    text: str
    colour: Colour = MUTED
    size: int = 14


@dataclass(frozen=True, slots=True)
class PanelRow:
    """A row of a panel.

    Attributes:
        label: lines at the left, from the top.
        tiles: square pictures, as `tile` makes them.
    """

    label: Sequence[Line]
    tiles: Sequence[Image.Image]


@dataclass(frozen=True, slots=True)
class Panel:
    """Rows of pictures under common column titles.

    Attributes:
        columns: title of each column.
        rows: the rows, from the top.
        title: of the panel; empty for a sheet of one.
    """

    columns: Sequence[str]
    rows: Sequence[PanelRow]
    title: str = ""


@dataclass(frozen=True, slots=True)
class ColourBar:
    """A scale for the colours of an anomaly map.

    Attributes:
        title: meaning of the scale.
        norm: maps values to [0, 1] of `HEAT`.
        ticks: labels by value.
    """

    title: str
    norm: "Normalize"
    ticks: dict[float, str]


@dataclass(frozen=True, slots=True)
class Notes:
    """The foot of a sheet.

    Attributes:
        lines: sentences at the lower left.
        legend: colours and their meanings.
        colour_bar: scale of the anomaly maps.
    """

    lines: Sequence[str] = ()
    legend: Sequence[tuple[str, Colour]] = ()
    colour_bar: ColourBar | None = field(default=None)


def save_sheet(
    path: Path,
    panels: Sequence[Panel],
    *,
    title: str,
    caption: str,
    layout: Layout,
    notes: Notes,
) -> None:
    """Draw panels next to each other and write them as PNG, whole or not at all.

    Args:
        path: the file; its folder must exist.
        panels: at least one.
        title: headline.
        caption: one line below it.
        layout: sizes.
        notes: the foot.

    Raises:
        OSError: the file can't be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    step = layout.tile + layout.gap
    widths = [layout.place(row=0, column=len(panel.columns))[0] for panel in panels]
    width = sum(widths)
    height = layout.head + max(len(panel.rows) for panel in panels) * step + _FOOT
    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI, facecolor=_rgb(BACKGROUND))
    FigureCanvasAgg(figure)
    _write(figure, title, (layout.gap, 12), TEXT, size=24)
    _write(figure, caption, (layout.gap, 46), MUTED, size=15)
    left = 0
    for panel, own in zip(panels, widths, strict=True):
        _draw_panel(figure, panel, left=left, layout=layout)
        left += own
    _draw_notes(figure, notes, layout=layout)
    content = io.BytesIO()
    figure.savefig(content, format="png")
    write_bytes(path, content.getvalue())


def heat_colours(values: Floats, norm: "Normalize") -> Floats:
    """Return the colours of map values, (rows, columns, 3) float32 in [0, 1]."""
    from matplotlib import colormaps

    coloured: Floats = colormaps[HEAT](norm(values))[..., :3].astype(np.float32)
    return coloured


def to_picture(image: Floats) -> Image.Image:
    """Convert (rows, columns, 3) float32 to 8 bits; values outside [0, 1] are cut off."""
    return Image.fromarray(np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8))


def tile(
    image: Floats, side: int, *, rows: int | None = None, columns: int | None = None
) -> Image.Image:
    """Fit an image into the middle of a black square.

    Args:
        image: (h, w, 3) float32 in [0, 1].
        side: of the square, in pixels.
        rows: height of the original, where the image has another aspect ratio than that.
        columns: width of the original.
    """
    rows, columns = rows or image.shape[0], columns or image.shape[1]
    scale = side / max(rows, columns)
    size = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    square = Image.new("RGB", (side, side))
    square.paste(
        to_picture(image).resize(size, Image.Resampling.BILINEAR),
        ((side - size[0]) // 2, (side - size[1]) // 2),
    )
    return square


def tint(image: Floats, where: Bools, colour: Colour, *, share: float = 0.5) -> Floats:
    """Return a copy of an image (rows, columns, 3), mixed with a colour where asked."""
    mixed = image.copy()
    mixed[where] = (1 - share) * image[where] + share * np.asarray(colour, dtype=np.float32) / 255
    return mixed


def _draw_panel(figure: "Figure", panel: Panel, *, left: int, layout: Layout) -> None:
    _, height = _size(figure)
    _write(figure, panel.title, (left + layout.gap, layout.head - 46), TEXT, size=19)
    for column, title in enumerate(panel.columns):
        x, y = layout.place(row=0, column=column)
        _write(figure, title, (left + x, y - 20), MUTED, size=14)
    for number, row in enumerate(panel.rows):
        for column, picture in enumerate(row.tiles):
            x, y = layout.place(row=number, column=column)
            # whole pixels, so that nothing is resampled a second time
            figure.figimage(
                np.asarray(picture), xo=left + x, yo=height - y - picture.height, origin="upper"
            )
        top = layout.place(row=number, column=0)[1] + 4
        for line in row.label:
            _write(figure, line.text, (left + layout.gap, top), line.colour, size=line.size)
            top += round(1.45 * line.size) * (1 + line.text.count("\n"))


def _draw_notes(figure: "Figure", notes: Notes, *, layout: Layout) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.patches import Patch

    width, height = _size(figure)
    top = height - _FOOT + 6
    for number, line in enumerate(notes.lines):
        _write(figure, line, (layout.gap, top + 26 + 20 * number), MUTED, size=13)
    if notes.legend:
        legend = figure.legend(
            handles=[Patch(color=_rgb(colour), label=text) for text, colour in notes.legend],
            loc="upper left",
            bbox_to_anchor=((layout.gap - 4) / width, 1 - (top - 4) / height),
            ncols=len(notes.legend),
            frameon=False,
            borderpad=0,
            handlelength=1.2,
            fontsize=_points(13),
        )
        for text in legend.get_texts():
            text.set_color(_rgb(TEXT))
    if (bar := notes.colour_bar) is not None:
        box = (width - _BAR - 36, top + 30, _BAR, 10)
        axes = figure.add_axes(
            (box[0] / width, 1 - (box[1] + box[3]) / height, box[2] / width, box[3] / height)
        )
        drawn = figure.colorbar(
            ScalarMappable(bar.norm, HEAT),
            cax=axes,
            orientation="horizontal",
            ticks=list(bar.ticks),
        )
        drawn.ax.minorticks_off()
        drawn.ax.set_xticklabels(list(bar.ticks.values()))
        drawn.ax.tick_params(colors=_rgb(MUTED), labelsize=_points(12), length=3)
        drawn.ax.set_title(bar.title, color=_rgb(MUTED), fontsize=_points(13), pad=4, loc="left")
        drawn.outline.set_visible(False)


def _write(
    figure: "Figure", text: str, place: tuple[int, int], colour: Colour, *, size: int
) -> None:
    width, height = _size(figure)
    figure.text(
        place[0] / width,
        1 - place[1] / height,
        text,
        color=_rgb(colour),
        fontsize=_points(size),
        verticalalignment="top",
        parse_math=False,
    )


def _size(figure: "Figure") -> tuple[int, int]:
    width, height = figure.get_size_inches() * _DPI
    return round(width), round(height)


def _points(pixels: int) -> float:
    return pixels * 72 / _DPI


def _rgb(colour: Colour) -> tuple[float, float, float]:
    red, green, blue = colour
    return red / 255, green / 255, blue / 255
