"""What the detector marks in a crop or a tile comes back to the same pixel of the DICOM image."""

from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from mediclip_dicom.imaging import (
    Preparation,
    SourceImage,
    find_boxes,
    iter_input_frames,
    place,
    read_headers,
)
from tests.factories import sources

ROWS, COLUMNS = 301, 257


def images_of(*paths: Path) -> tuple[SourceImage, ...]:
    return read_headers(paths)[0]


def paint(path: Path, *, bright: tuple[int, int], centre: float = 0.5, inverted: bool) -> None:
    """A textured body in the middle of the image's air, and one bright pixel in the body."""
    dataset = dcmread(path)
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    row, column = np.mgrid[0:rows, 0:columns]
    body = ((row - centre * rows) / (0.28 * rows)) ** 2
    body = body + ((column - 0.45 * columns) / (0.22 * columns)) ** 2 <= 1
    values = np.where(body, 120 + 40 * np.cos(row / 4), 10)
    values[bright] = 999
    values = 1000 - values if inverted else values
    dataset.PixelData = values.astype("<u2").tobytes()
    dataset.save_as(path, enforce_file_format=True)


@pytest.mark.parametrize("kind", ["CR MONOCHROME1", "MR with oblong pixels"])
@pytest.mark.parametrize(("crop", "tiles"), [(True, 1), (False, 2), (True, 2), (True, 3)])
def test_a_bright_pixel_comes_back_to_its_place(
    tmp_path: Path, kind: str, crop: bool, tiles: int
) -> None:
    bright = (137, 101)
    if kind.startswith("CR"):
        path = sources.computed_radiograph(tmp_path, rows=ROWS, columns=COLUMNS)
    else:
        (path,) = sources.mr_series(
            tmp_path, slices=1, rows=ROWS, columns=COLUMNS, spacing=(0.6, 1.1)
        )
    paint(path, bright=bright, inverted=kind.startswith("CR"))
    images = images_of(path)
    preparation = Preparation("pad", crop=crop, tiles=tiles)
    boxes = find_boxes(images, preparation)
    assert bool(boxes) is crop

    (frame,) = iter_input_frames(images, preparation=preparation, boxes=boxes)

    assert frame.pixels is not None
    side = 224 * tiles
    assert frame.pixels.shape == (1, 3, side, side)
    # as the detector's map: 224 x 224 whatever the enlargement
    merged = frame.pixels[0, 0].reshape(224, tiles, 224, tiles).mean(axis=(1, 3))
    placement = place(images[0].header, mode="pad", box=frame.box)
    back = placement.to_source(merged)
    assert back.shape == (ROWS, COLUMNS)
    found = np.unravel_index(int(back.argmax()), back.shape)
    assert np.abs(np.subtract(found, bright)).max() <= 1 + max(1 / s for s in placement.scale)
    if crop:
        assert frame.box is not None
        top, left, rows, columns = frame.box
        assert rows < 0.75 * ROWS
        assert columns < 0.65 * COLUMNS
        outside = np.ones_like(back, dtype=bool)
        outside[top : top + rows, left : left + columns] = False
        assert not back[outside].any()


def test_slices_of_a_series_share_the_box_around_all_of_them(tmp_path: Path) -> None:
    paths = sources.mr_series(tmp_path, slices=3, rows=ROWS, columns=COLUMNS)
    for path, centre in zip(paths, (0.4, 0.5, 0.6), strict=True):
        paint(path, bright=(120, 100), centre=centre, inverted=False)
    images = images_of(*paths)
    preparation = Preparation("pad", crop=True)
    alone = [next(iter(find_boxes([image], preparation).values())) for image in images]
    together = find_boxes(images, preparation)
    assert len({*together.values()}) == 1
    top, left, rows, columns = next(iter(together.values()))
    assert top == min(box[0] for box in alone)
    assert top + rows == max(box[0] + box[2] for box in alone)
    assert rows > max(box[2] for box in alone)
    assert left + columns == max(box[1] + box[3] for box in alone)


def test_radiographs_of_a_series_have_a_box_each(tmp_path: Path) -> None:
    paths = []
    for number, centre in enumerate((0.4, 0.6), start=1):
        folder = tmp_path / str(number)
        folder.mkdir()
        uid = f"{sources.STUDY_UID}.2.{number}"
        path = sources.computed_radiograph(
            folder, rows=ROWS, columns=COLUMNS, SOPInstanceUID=uid, InstanceNumber=number
        )
        paint(path, bright=(140, 100), centre=centre, inverted=True)
        paths.append(path)
    boxes = find_boxes(images_of(*paths), Preparation("pad", crop=True))
    assert len({*boxes.values()}) == 2


def test_an_image_that_cannot_be_decoded_has_no_part_in_the_box(tmp_path: Path) -> None:
    paths = sources.mr_series(tmp_path, slices=2, rows=ROWS, columns=COLUMNS)
    for path in paths:
        paint(path, bright=(140, 100), inverted=False)
    preparation = Preparation("pad", crop=True)
    (expected,) = find_boxes(images_of(paths[0]), preparation).values()
    dataset = dcmread(paths[1])
    dataset.PixelData = dataset.PixelData[:64]
    dataset.save_as(paths[1], enforce_file_format=True)
    boxes = find_boxes(images_of(*paths), preparation)
    assert {*boxes.values()} == {expected}
    frames = list(iter_input_frames(images_of(*paths), preparation=preparation, boxes=boxes))
    assert [frame.pixels is not None for frame in frames] == [True, False]
