"""The study score of a series: the highest pixel of its smoothed maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mediclip_dicom.imaging import (
    FramePlace,
    place,
    read_headers,
    smoothed_peak,
    stack_frames,
)
from tests.factories import modalities, sources
from tests.factories.modalities import change


def frames_of(paths: list[Path]) -> list[FramePlace]:
    images, _ = read_headers(paths)
    return [FramePlace(image.header, 1) for image in images]


def peak_of(frames: list[FramePlace], heights: list[float]) -> tuple[float, int]:
    """The study score where each map is flat but for a square of the given height."""
    maps = np.full((len(frames), 224, 224), 0.1, np.float32)
    for one, height in zip(maps, heights, strict=True):
        one[100:120, 100:120] = height
    found = smoothed_peak(
        frames,
        heights,
        read_map=lambda index: maps[index],
        placements=[place(frame.header, mode="pad") for frame in frames],
    )
    return found.score, found.frame


def test_one_noisy_slice_decides_less_than_a_lesion_in_three(tmp_path: Path) -> None:
    frames = frames_of(sources.mr_series(tmp_path, slices=7, step=2.0))
    noise, at_noise = peak_of(frames, [0.1, 0.9, 0.1, 0.1, 0.1, 0.1, 0.1])
    lesion, at_lesion = peak_of(frames, [0.1, 0.1, 0.1, 0.7, 0.7, 0.7, 0.1])
    assert noise == pytest.approx(0.5)
    assert lesion == pytest.approx(0.7)
    assert (at_noise, at_lesion) == (1, 4)


def test_a_lesion_in_one_thick_slice_counts_in_full(tmp_path: Path) -> None:
    frames = frames_of(sources.mr_series(tmp_path, slices=7, step=5.0))
    score, frame = peak_of(frames, [0.1, 0.9, 0.1, 0.1, 0.1, 0.1, 0.1])
    assert score == pytest.approx(0.9)
    assert frame == 1


def test_an_image_alone_keeps_its_image_score(tmp_path: Path) -> None:
    (frame,) = frames_of([modalities.digital_radiograph(tmp_path)])
    assert peak_of([frame], [0.9]) == (0.9, 0)


def test_slices_across_a_gap_are_not_averaged(tmp_path: Path) -> None:
    paths = sources.mr_series(tmp_path, slices=9, step=2.0)
    frames = frames_of([paths[n] for n in (0, 1, 2, 6, 7, 8)])
    (stack,) = stack_frames(frames)
    assert stack.touching == stack.thin == (True, True, False, True, True)
    # at both sides of the gap the slice itself stands in for its missing neighbour
    assert peak_of(frames, [0.1, 0.1, 0.9, 0.1, 0.1, 0.1])[0] == pytest.approx(0.7)


def test_the_order_of_the_files_changes_nothing(tmp_path: Path) -> None:
    frames = frames_of(sources.mr_series(tmp_path, slices=5, step=2.0))
    heights = [0.2, 0.8, 0.6, 0.1, 0.3]
    turned = [3, 0, 4, 2, 1]
    score, frame = peak_of(frames, heights)
    other, where = peak_of([frames[n] for n in turned], [heights[n] for n in turned])
    assert other == score
    assert turned[where] == frame


def test_equal_positions_make_images_of_their_own(tmp_path: Path) -> None:
    paths = sources.mr_series(tmp_path, slices=3, step=2.0)
    for path in paths:
        change(path, ImagePositionPatient=[0, 0, 0])
    frames = frames_of(paths)
    assert [len(stack.order) for stack in stack_frames(frames)] == [1, 1, 1]
    assert peak_of(frames, [0.1, 0.9, 0.1])[0] == pytest.approx(0.9)
