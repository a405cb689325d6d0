"""Series that repeat their positions: each time, phase, direction or the like is a volume."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from mediclip_dicom.imaging import (
    FramePlace,
    ImageHeader,
    count_volumes,
    find_contradictions,
    group_frames,
    read_header,
    stack_frames,
)
from tests.factories import sources

SLICES, VOLUMES = 4, 3
DIRECTIONS = ([1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0])

Tell = Callable[[int, int], dict[str, Any]]


def series(folder: Path, tell: Tell, *, shuffled: bool = False) -> list[tuple[int, ImageHeader]]:
    """(volume, header) of each image; `tell(volume, slice)` gives its attributes."""
    found = []
    for volume in range(VOLUMES):
        (folder / str(volume)).mkdir(parents=True)
        for index, path in enumerate(sources.mr_series(folder / str(volume), slices=SLICES)):
            dataset = dcmread(path)
            dataset.SOPInstanceUID = f"{dataset.SOPInstanceUID}.{volume}"
            number = volume * SLICES + index + 1
            dataset.InstanceNumber = (number * 7) % 13 if shuffled else number
            for keyword, value in tell(volume, index).items():
                setattr(dataset, keyword, value)
            dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
            dataset.save_as(path, enforce_file_format=True)
            found.append((volume, read_header(path)))
    return sorted(found, key=lambda item: (item[1].image_position or (0,))[-1])


def volumes_of(images: list[tuple[int, ImageHeader]]) -> list[set[int]]:
    """Volumes that each group holds."""
    frames = [FramePlace(header, 1) for _, header in images]
    return [{images[index][0] for index in group} for group in group_frames(frames).values()]


def clock(second: float) -> str:
    return f"1010{second:05.2f}"


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize(
    "tell",
    [
        lambda v, _: {"AcquisitionTime": clock(10 * v)},
        lambda v, _: {"ContentTime": clock(10 * v)},
        lambda v, _: {"AcquisitionDateTime": f"20260101{clock(10 * v)}"},
        lambda v, s: {"AcquisitionTime": clock(10 * v + s)},
        lambda v, s: {"FrameReferenceTime": 1000.0 + 60000 * v, "ContentTime": clock(v + s / 10)},
        lambda v, s: {"TriggerTime": 50.0 * v, "ContentTime": clock(s)},
        lambda v, _: {"DiffusionBValue": 1000.0, "DiffusionGradientOrientation": DIRECTIONS[v]},
        lambda v, _: {
            "DiffusionBValue": 1000.0 * (v > 0),
            **({"DiffusionGradientOrientation": DIRECTIONS[v]} if v else {}),
        },
        lambda v, _: {"TemporalPositionIdentifier": v + 1, "NumberOfTemporalPositions": VOLUMES},
        lambda v, _: {"EchoTime": 10.0 + (v == 2), "InversionTime": 100.0 + (v == 1)},
        lambda v, _: {"AcquisitionNumber": v + 1},
        lambda v, _: {"StackID": str(v)},
        lambda v, _: {"ConvolutionKernel": f"K{v}"},
        lambda v, _: {"KVP": 80 + 20 * v},
        lambda v, _: {"NominalPercentageOfCardiacPhase": 30.0 * v},
        lambda v, _: {"ImageType": ["ORIGINAL", "PRIMARY", "MPR"[v]]},
    ],
)
def test_each_volume_is_read_by_itself_whatever_distinguishes_it(
    tmp_path: Path, tell: Tell, shuffled: bool
) -> None:
    images = series(tmp_path, tell, shuffled=shuffled)
    headers = [header for _, header in images]
    assert find_contradictions(headers) == {}
    assert sorted(volumes_of(images), key=min) == [{0}, {1}, {2}]
    frames = [FramePlace(header, 1) for header in headers]
    assert [len(stack.order) for stack in stack_frames(frames)] == [SLICES] * VOLUMES
    assert count_volumes(frames) == {headers[0].series_instance_uid: VOLUMES}


def test_a_volume_with_a_missing_slice_takes_none_of_another(tmp_path: Path) -> None:
    images = series(tmp_path, lambda v, _: {"AcquisitionTime": clock(10 * v)})
    kept = [image for image in images if image != images[0]]
    assert sorted(volumes_of(kept), key=min) == [{0}, {1}, {2}]


def test_images_that_nothing_distinguishes_are_left_out(tmp_path: Path) -> None:
    headers = [header for _, header in series(tmp_path, lambda _v, _s: {})]
    assert len(find_contradictions(headers)) == SLICES * VOLUMES


def test_one_slice_at_a_wrong_place_is_no_second_volume_for_its_own_time(tmp_path: Path) -> None:
    paths = sources.mr_series(tmp_path)
    wrong = dcmread(paths[3]).ImagePositionPatient
    for second, path in enumerate(paths):
        dataset = dcmread(path)
        dataset.AcquisitionTime = clock(second)
        if second == 1:
            dataset.ImagePositionPatient = wrong
        dataset.save_as(path)
    headers = [read_header(path) for path in paths]
    found = {uid for uid, _ in find_contradictions(headers)}
    assert found == {headers[1].sop_instance_uid, headers[3].sop_instance_uid}


def test_header_facts_of_an_earlier_release_are_grouped_as_they_were(tmp_path: Path) -> None:
    images = series(tmp_path, lambda v, _: {"EchoTime": 10.0 + v})
    old = [(v, replace(h, repetition=h.repetition[:11], times=())) for v, h in images]
    assert find_contradictions(header for _, header in old) == {}
    assert sorted(volumes_of(old), key=min) == [{0}, {1}, {2}]
