"""Truth and map meet in one frame, whatever the geometry."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ai_core.errors import EvaluationError, PictureError
from ai_core.evaluation import Item
from ai_core.evaluation.data.pictures import read_item, read_mask, read_truth, to_frame
from ai_core.images.placement import Mode
from tests.ai_core.evaluation.pictures import save


def item(path: Path, *masks: Path) -> Item:
    return Item(path=path, abnormal=True, masks=masks)


@pytest.mark.parametrize("geometry", ["pad", "stretch"])
def test_a_lesion_in_the_picture_lies_under_its_truth(tmp_path: Path, geometry: Mode) -> None:
    lesion = np.zeros((60, 120))
    lesion[10:30, 70:110] = 255
    picture = save(tmp_path / "x.png", lesion)
    one = item(picture, save(tmp_path / "x_mask.png", lesion))
    read = read_item(one, geometry=geometry)
    assert read.image.shape == (3, 224, 224)
    assert read.image.dtype == torch.float32
    truth = read_truth(one, rows=60, columns=120)
    assert truth is not None
    framed = to_frame(read.image[:1], [read.placement])[0] >= 0.5
    overlap = (framed & truth).sum() / (framed | truth).sum()
    assert overlap > 0.95


def test_several_masks_are_a_union(tmp_path: Path) -> None:
    left, right = np.zeros((40, 40)), np.zeros((40, 40))
    left[:, :10], right[:, 30:] = 255, 255
    one = item(tmp_path / "x.png", save(tmp_path / "a.png", left), save(tmp_path / "b.png", right))
    truth = read_truth(one, rows=40, columns=40)
    assert truth is not None
    assert truth.float().mean().item() == pytest.approx(0.5, abs=0.01)


def test_a_mask_of_one_bit_counts_as_one_of_eight(tmp_path: Path) -> None:
    lesion = np.zeros((40, 40), dtype=np.uint8)
    lesion[5:20, 5:20] = 255
    Image.fromarray(lesion).convert("1").save(tmp_path / "bit.png")
    bit = read_truth(item(tmp_path / "x.png", tmp_path / "bit.png"), rows=40, columns=40)
    plain = item(tmp_path / "x.png", save(tmp_path / "b.png", lesion))
    assert bit is not None
    assert torch.equal(bit, read_truth(plain, rows=40, columns=40))  # type: ignore[arg-type]


def test_a_lesion_smaller_than_a_pixel_is_not_lost(tmp_path: Path) -> None:
    lesion = np.zeros((2000, 2000))
    lesion[700:702, 900:902] = 255
    one = item(tmp_path / "x.png", save(tmp_path / "m.png", lesion))
    truth = read_truth(one, rows=2000, columns=2000)
    assert truth is not None
    assert 1 <= int(truth.sum()) <= 4


def test_normals_have_an_empty_truth_and_undrawn_lesions_none(tmp_path: Path) -> None:
    normal = read_truth(Item(tmp_path / "n.png", abnormal=False), rows=8, columns=8)
    assert normal is not None
    assert not normal.any()
    assert read_truth(item(tmp_path / "x.png"), rows=8, columns=8) is None
    blank = item(tmp_path / "x.png", save(tmp_path / "m.png", np.zeros((8, 8))))
    assert read_truth(blank, rows=8, columns=8) is None


def test_a_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    one = item(tmp_path / "x.png", save(tmp_path / "m.png", np.ones((8, 9))))
    with pytest.raises(EvaluationError, match=r"is 8x9 pixels, its picture x\.png is 8x8"):
        read_truth(one, rows=8, columns=8)


def test_what_is_no_picture_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_text("no picture")
    with pytest.raises(PictureError, match=r"x\.png can't be read"):
        read_item(item(path), geometry="pad")
    with pytest.raises(EvaluationError, match="can't be read as a mask"):
        read_truth(item(path, path), rows=8, columns=8)


LESION = np.zeros((40, 40), dtype=np.uint8)
LESION[10:20, 12:30] = 1


def as_jpeg(folder: Path) -> Path:
    Image.fromarray(LESION * 255).save(folder / "m.jpg", quality=60)
    return folder / "m.jpg"


def as_colours(folder: Path) -> Path:
    return save(folder / "m.png", LESION[..., None] * np.array([90, 0, 0]))


def as_palette(folder: Path) -> Path:
    picture = Image.fromarray(LESION).convert("P")
    picture.putdata(LESION.ravel().tolist())
    picture.putpalette([0, 0, 0, 0, 0, 128])
    picture.save(folder / "m.png")
    return folder / "m.png"


def as_opacity(folder: Path) -> Path:
    channels = np.zeros((40, 40, 4), dtype=np.uint8)
    channels[..., 3] = LESION * 200
    Image.fromarray(channels).save(folder / "m.png")
    return folder / "m.png"


def as_coloured_overlay(folder: Path) -> Path:
    channels = np.full((40, 40, 4), 255, dtype=np.uint8)
    channels[..., 3] = LESION * 255
    Image.fromarray(channels).save(folder / "m.png")
    return folder / "m.png"


def as_noise(folder: Path) -> Path:
    noise = np.random.default_rng(0).integers(0, 12, LESION.shape)
    return save(folder / "m.png", np.where(LESION == 1, 255 - noise, noise))


def as_sixteen_bits(folder: Path) -> Path:
    Image.fromarray(LESION.astype(np.uint16) * 256).save(folder / "m.png")
    return folder / "m.png"


MASKS: dict[str, Callable[[Path], Path]] = {
    "0 and 1": lambda folder: save(folder / "m.png", LESION),
    "0 and 255": lambda folder: save(folder / "m.png", LESION * 255),
    "class numbers": lambda folder: save(folder / "m.png", LESION * 3),
    "a dark colour": as_colours,
    "a palette": as_palette,
    "opacity alone": as_opacity,
    "an overlay": as_coloured_overlay,
    "noise": as_noise,
    "16 bits": as_sixteen_bits,
}


@pytest.mark.parametrize("form", MASKS)
def test_a_mask_marks_the_same_in_every_form(tmp_path: Path, form: str) -> None:
    np.testing.assert_array_equal(read_mask(MASKS[form](tmp_path)), LESION == 1)


def test_the_noise_of_a_jpeg_mask_is_no_lesion(tmp_path: Path) -> None:
    marked = read_mask(as_jpeg(tmp_path))
    wrong = marked ^ (LESION == 1)
    assert int(wrong.sum()) <= 12  # at the edge
    assert not marked[:8].any()
    assert not marked[24:].any()
