"""Picture files look as a reader would see them, whatever their depth."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
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


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_the_colour_of_transparent_pixels_does_not_appear(tmp_path: Path, mode: str) -> None:
    grey = np.rint(RAMP * 200).astype(np.uint8)
    opaque = np.tile(np.arange(100) < 60, (60, 1))
    picture = Image.fromarray(np.where(opaque, grey, 255).astype(np.uint8))
    path = tmp_path / "cut_out.png"
    if mode == "P":
        palette = Image.fromarray(np.where(opaque, grey, 201).astype(np.uint8), mode="P")
        palette.putpalette([shade for value in range(256) for shade in (value, value, 255 - value)])
        palette.save(path, transparency=201)
        assert (read_picture(path)[:, 60:] == 0).all()
        assert (read_picture(path)[:, :60, 2] > 0).all()
        return
    picture.putalpha(Image.fromarray((opaque * 255).astype(np.uint8)))
    picture.convert(mode).save(path)
    np.testing.assert_allclose(read_picture(path)[..., 0] * 255, grey * opaque, atol=1e-4)


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_a_tiff_in_which_zero_is_white_is_no_negative(tmp_path: Path, depth: type) -> None:
    path = tmp_path / "white_is_zero.tif"
    largest = np.iinfo(depth).max
    stored: np.ndarray = np.rint((1 - RAMP) * largest).astype(depth)
    tifffile.imwrite(path, stored, photometric="miniswhite")
    np.testing.assert_allclose(read_picture(path)[..., 0], RAMP, atol=0.01)


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
