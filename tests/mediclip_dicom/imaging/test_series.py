"""The images of a study in reading order, as detector inputs; what is none says why."""

from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from mediclip_dicom.imaging import (
    Preparation,
    SourceImage,
    Window,
    iter_input_frames,
    place,
    read_headers,
    sample_evenly,
)
from tests.factories import sources


def headers(paths: list[Path]) -> tuple[SourceImage, ...]:
    images, skipped = read_headers(paths)
    assert not skipped
    return images


def truncated(path: Path) -> Path:
    dataset = dcmread(path)
    dataset.PixelData = dataset.PixelData[: len(dataset.PixelData) // 2]
    dataset.save_as(path, enforce_file_format=True)
    return path


def test_slices_come_along_their_normal_whatever_their_names_and_numbers_say(
    tmp_path: Path,
) -> None:
    paths = sources.mr_series(tmp_path, slices=4, orientation=sources.OBLIQUE)
    for number, path in enumerate(reversed(paths), start=1):
        dataset = dcmread(path)
        dataset.InstanceNumber = number
        dataset.save_as(path, enforce_file_format=True)
    assert [image.path for image in headers([paths[2], paths[0], paths[3], paths[1]])] == paths


def test_images_without_a_place_come_by_instance_number(tmp_path: Path) -> None:
    paths = []
    for number in (10, 9, 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        uid = f"{sources.STUDY_UID}.2.{number}"
        paths.append(sources.computed_radiograph(folder, InstanceNumber=number, SOPInstanceUID=uid))
    assert [image.header.instance_number for image in headers(paths)] == [2, 9, 10]


def test_series_are_not_mixed(tmp_path: Path) -> None:
    first = sources.mr_series(tmp_path, slices=2, series=1)
    second = sources.mr_series(tmp_path, slices=2, series=2)
    mixed = [first[0], second[0], first[1], second[1]]
    assert [image.path for image in headers(mixed)] == [*first, *second]


def test_what_is_no_image_is_set_apart_with_its_reason(tmp_path: Path) -> None:
    (image,) = sources.mr_series(tmp_path, slices=1)
    without_pixels = dcmread(image)
    del without_pixels.PixelData
    without_pixels.save_as(tmp_path / "bare.dcm", enforce_file_format=True)
    (tmp_path / "notes.txt").write_text("no DICOM")
    images, skipped = read_headers([tmp_path / "notes.txt", image, tmp_path / "bare.dcm"])
    assert [found.path for found in images] == [image]
    reasons = {instance.path.name: instance.reason for instance in skipped}
    assert reasons["notes.txt"].startswith("not a DICOM Part 10 file")
    assert reasons["bare.dcm"].startswith("no pixel data")


@pytest.mark.parametrize("mode", ["pad", "stretch"])
def test_every_frame_becomes_a_detector_input_in_range(tmp_path: Path, mode: str) -> None:
    images = headers([sources.enhanced_mr(tmp_path, frames=3), sources.ultrasound(tmp_path)])
    frames = list(iter_input_frames(images, preparation=Preparation(mode)))  # type: ignore[arg-type]
    assert [frame.frame for frame in frames] == [1, 1, 2, 3]
    for frame in frames:
        assert frame.pixels is not None
        assert frame.skipped is None
        assert frame.pixels.shape == (1, 3, 224, 224)
        assert frame.pixels.dtype == np.float32
        assert 0 <= frame.pixels.min() < frame.pixels.max() <= 1


def test_padding_keeps_the_aspect_ratio_and_stretching_does_not(tmp_path: Path) -> None:
    images = headers([sources.computed_radiograph(tmp_path, rows=120, columns=60)])
    (padded,) = iter_input_frames(images, preparation=Preparation("pad"))
    (stretched,) = iter_input_frames(images, preparation=Preparation("stretch"))
    assert padded.pixels is not None
    assert stretched.pixels is not None
    placed = place(images[0].header, mode="pad")
    assert (placed.height, placed.width) == (224, 112)
    assert not padded.pixels[..., : placed.left].any()
    assert padded.pixels[..., placed.left].any()
    placed = place(images[0].header, mode="stretch")
    assert (placed.height, placed.width) == (224, 224)
    assert stretched.pixels[..., 0].any()


def test_a_task_may_fix_the_window(tmp_path: Path) -> None:
    images = headers(sources.mr_series(tmp_path, slices=1))
    (own,) = iter_input_frames(images, preparation=Preparation("stretch"))
    (dark,) = iter_input_frames(
        images, preparation=Preparation("stretch", (Window(center=5000, width=100),))
    )
    assert own.pixels is not None
    assert dark.pixels is not None
    assert own.pixels.max() > 0
    assert dark.pixels.max() == 0


def test_a_frame_that_cannot_be_decoded_says_so_and_the_next_image_goes_on(
    tmp_path: Path,
) -> None:
    paths = sources.mr_series(tmp_path, slices=3)
    truncated(paths[1])
    frames = list(iter_input_frames(headers(paths), preparation=Preparation("pad")))
    assert [frame.pixels is not None for frame in frames] == [True, False, True]
    broken = frames[1]
    assert broken.pixels is None
    assert broken.skipped is not None
    assert "cannot be decoded" in broken.skipped
    assert "Test^Patient" not in broken.skipped


def test_every_frame_of_a_broken_multi_frame_image_has_its_row(tmp_path: Path) -> None:
    path = truncated(sources.enhanced_mr(tmp_path, frames=4))
    frames = list(iter_input_frames(headers([path]), preparation=Preparation("pad")))
    assert [frame.frame for frame in frames] == [1, 2, 3, 4]
    assert all((frame.pixels is None) == (frame.skipped is not None) for frame in frames)
    assert frames[-1].pixels is None


def test_a_sample_of_slices_is_even_and_keeps_clear_of_the_ends(tmp_path: Path) -> None:
    images = headers(sources.mr_series(tmp_path, slices=12))
    taken = [images.index(image) for image in sample_evenly(images, 3)]
    assert taken == [2, 6, 10]
    assert sample_evenly(images, 12) == images
    assert sample_evenly(images, 99) == images
