"""Smoothing of anomaly maps along a series: a weighted mean of each slice and its neighbours."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

FloatMap = npt.NDArray[np.float32]


def smooth_slice(here: FloatMap, *, before: FloatMap | None, after: FloatMap | None) -> FloatMap:
    """Average a slice's map with those of its neighbours by the weights 1/4, 1/2, 1/4.

    In its plane a map needs no smoothing, since it is interpolated between patches; but each slice
    is scored alone, so that noise is independent from slice to slice and a lesion is not.

    Args:
        here: map of the slice, any shape, float32.
        before: map of the slice before it; None at an end of the series or at a gap, where the
            slice itself stands in.
        after: map of the slice after it, or None.

    Returns:
        The smoothed map, float32, within the range of its three maps.

    Example:
        >>> import numpy as np
        >>> from ai_core import smooth_slice
        >>> noisy, quiet = np.float32([0.9]), np.float32([0.1])
        >>> round(float(smooth_slice(noisy, before=quiet, after=quiet)[0]), 3)
        0.5
        >>> bool(smooth_slice(noisy, before=None, after=None) == noisy)
        True
    """
    if before is None and after is None:
        return here
    first = here if before is None else before
    last = here if after is None else after
    return (np.float32(0.25) * (first + last) + np.float32(0.5) * here).astype(np.float32)


def series_peak(maps: Sequence[FloatMap]) -> tuple[float, int]:
    """Find the highest pixel of a series' smoothed maps: its study score.

    For slices at equal distances without a gap; so that one noisy slice decides nothing. A single
    map has its own highest pixel.

    Args:
        maps: of the slices in their order, each float32 of one shape; at least one.

    Returns:
        The score, and the index of the slice that has it.

    Example:
        >>> import numpy as np
        >>> from ai_core import series_peak
        >>> lesion, noise = np.float32([[0.1], [0.5], [0.5], [0.1]]), np.float32([[0.6], [0.1]])
        >>> [round(series_peak(series)[0], 3) for series in (lesion, noise)]
        [0.4, 0.475]
    """
    peaks = [
        float(
            smooth_slice(
                here,
                before=maps[place - 1] if place else None,
                after=maps[place + 1] if place + 1 < len(maps) else None,
            ).max()
        )
        for place, here in enumerate(maps)
    ]
    best = int(np.argmax(peaks))
    return peaks[best], best
