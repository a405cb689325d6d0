"""Reliability picture: false-positive rates seen against rates promised."""

import io
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from matplotlib.figure import Figure
from scipy.stats import binom  # type: ignore[attr-defined]

from ai_core.evaluation.promises import BAND, RELIABILITY_RATES
from ai_core.evaluation.report.table import method_title
from ai_core.evaluation.rows import Row
from ai_core.files import write_bytes

RELIABILITY_FILE = "reliability.png"

_COLUMNS = 3


def draw_reliability(folder: Path, rows: Sequence[Row]) -> Path | None:
    """Draw a panel for each data set, method and k: each draw thin, their mean thick.

    The grey area is the binomial band of one draw; on the diagonal the rate promised is seen.

    Args:
        folder: of the run; gets the picture.
        rows: of the run.

    Returns:
        The picture's path; None where no row has an operating point.
    """
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        if row.reliability:
            groups.setdefault(row.cell[:-1], []).append(row)
    if not groups:
        return None
    columns = min(_COLUMNS, len(groups))
    lines = -(-len(groups) // columns)
    figure = Figure(figsize=(3.6 * columns, 3.6 * lines), layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for panel in panels[len(groups) :]:
        panel.set_visible(False)
    percent = [100 * rate for rate in RELIABILITY_RATES]
    for panel, group in zip(panels, groups.values(), strict=False):
        normals = group[0].points[0].normals
        low, high = binom.interval(BAND, normals, RELIABILITY_RATES)
        panel.fill_between(
            percent, 100 * low / normals, 100 * high / normals, color="0.88", linewidth=0
        )
        panel.plot([0, 50], [0, 50], color="0.5", linewidth=1, linestyle="--")
        curves = [[100 * share for share in row.reliability] for row in group]
        for curve in curves:
            panel.step(percent, curve, where="post", color="tab:blue", linewidth=0.6, alpha=0.5)
        means = [fmean(shares) for shares in zip(*curves, strict=True)]
        panel.step(percent, means, where="post", color="tab:blue", linewidth=2)
        panel.set_title(f"{group[0].dataset}, {method_title(group[0])}, k = {group[0].k}")
        panel.title.set_fontsize(8)
        panel.set_xlabel("false-positive rate promised, %")
        panel.set_ylabel("seen on normals, %")
        panel.set_xlim(0, 50)
        panel.set_ylim(0, 70)
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=110)
    write_bytes(folder / RELIABILITY_FILE, png.getvalue())
    return folder / RELIABILITY_FILE
