"""Smoothing of anomaly maps along a series: a weighted mean of each slice and its neighbours."""

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
