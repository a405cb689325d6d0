"""Smoothing along a series: noise in one slice is halved, a lesion in three stays."""

import numpy as np

from ai_core import smooth_slice


def test_the_weights_are_a_quarter_a_half_and_a_quarter() -> None:
    first, middle, last = (np.full((2, 3), value, dtype=np.float32) for value in (0.0, 0.8, 0.4))
    smooth = smooth_slice(middle, before=first, after=last)
    assert smooth.dtype == np.float32
    assert np.allclose(smooth, 0.5)


def test_at_an_end_the_slice_stands_in_for_the_missing_neighbour() -> None:
    here, after = np.array([[0.8]], np.float32), np.array([[0.4]], np.float32)
    assert np.allclose(smooth_slice(here, before=None, after=after), 0.7)
    assert (smooth_slice(here, before=None, after=None) == here).all()


def test_the_smoothed_map_stays_within_the_range_of_its_maps() -> None:
    maps = np.random.default_rng(0).random((3, 50, 50), dtype=np.float32)
    smooth = smooth_slice(maps[1], before=maps[0], after=maps[2])
    assert (smooth >= maps.min(axis=0) - 1e-6).all()
    assert (smooth <= maps.max(axis=0) + 1e-6).all()
