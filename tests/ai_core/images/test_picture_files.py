"""Picture files look as a reader would see them, whatever their depth."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ai_core.errors import PictureError
from ai_core.images.picture_files import read_picture

RAMP = np.linspace(0, 1, 6000).reshape(60, 100)


def test_eight_bits_are_taken_as_they_are(tmp_path: Path) -> None:
    grey = np.rint(RAMP * 200).astype(np.uint8)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    found = read_picture(tmp_path / "grey.png")
    assert found.shape == (60, 100, 3)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[..., 1] * 255, grey, atol=1e-4)


@pytest.mark.parametrize("largest", [4095, 65535])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_deeper_grey_keeps_its_shades(tmp_path: Path, largest: int, suffix: str) -> None:
    """Cut off at 255, as a plain conversion does, nearly all of it would be white."""
    path = tmp_path / f"deep{suffix}"
    Image.fromarray(np.rint(RAMP * largest).astype(np.uint16)).save(path)
    found = read_picture(path)
    np.testing.assert_allclose(found[..., 0], RAMP, atol=0.01)
    assert found.min() == 0
    assert found.max() == 1


def test_a_palette_and_transparency_are_resolved(tmp_path: Path) -> None:
    colour = Image.new("RGB", (8, 4), (10, 200, 30))
    colour.quantize(4).save(tmp_path / "palette.png")
    colour.convert("RGBA").save(tmp_path / "alpha.png")
    for name in ("palette.png", "alpha.png"):
        np.testing.assert_allclose(read_picture(tmp_path / name)[0, 0] * 255, (10, 200, 30))


def test_a_turned_photograph_is_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("L", (30, 20)).save(tmp_path / "turned.jpg", exif=exif)
    assert read_picture(tmp_path / "turned.jpg").shape == (30, 20, 3)


def test_several_pictures_in_a_file_are_not_taken_for_one(tmp_path: Path) -> None:
    pages = [Image.new("L", (8, 8), shade) for shade in (10, 200)]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(PictureError, match=r"pages\.tif holds several pictures"):
        read_picture(tmp_path / "pages.tif")


def test_a_file_that_is_no_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(PictureError, match=r"text\.png can't be read"):
        read_picture(tmp_path / "text.png")
