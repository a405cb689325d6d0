"""Every common photometric interpretation and transfer syntax gives the pixels that were meant."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import UID

from mediclip_dicom.errors import UndecodableFrameError, UnsupportedImageError
from mediclip_dicom.imaging import iter_frames
from tests.factories import sources


def first_frame(path: Path) -> np.ndarray:
    return next(iter_frames(path)).rgb


Example = Callable[[str], Path]


# A colour test card: its stripes, by the first column of row 5 of each, in 8-bit RGB.
CARD = {
    5: (255, 0, 0),
    15: (255, 128, 128),
    25: (0, 255, 0),
    35: (128, 255, 128),
    45: (0, 0, 255),
    55: (128, 128, 255),
    65: (0, 0, 0),
    75: (64, 64, 64),
    85: (192, 192, 192),
    95: (255, 255, 255),
}


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [
        ("SC_rgb.dcm", 0),
        ("SC_rgb_16bit.dcm", 1),
        ("SC_rgb_expb.dcm", 0),
        ("SC_rgb_expb_16bit.dcm", 1),
        ("SC_rgb_rle.dcm", 0),
        ("SC_rgb_rle_16bit.dcm", 1),
        ("SC_rgb_gdcm2k_uncompressed.dcm", 0),
        ("SC_ybr_full_uncompressed.dcm", 5),
        ("SC_ybr_full_422_uncompressed.dcm", 5),
        ("SC_rgb_dcmtk_+eb+cr.dcm", 2),
        ("SC_rgb_dcmtk_+eb+cy+n1.dcm", 5),
        ("SC_rgb_dcmtk_+eb+cy+s2.dcm", 5),
    ],
)
def test_the_colour_test_card_has_its_colours(name: str, tolerance: int, example: Example) -> None:
    rgb = first_frame(example(name)) * 255
    for row, colour in CARD.items():
        assert np.allclose(rgb[row, 50], colour, atol=tolerance), (row, rgb[row, 50])


@pytest.mark.parametrize(
    ("compressed", "plain"),
    [
        ("MR_small_RLE.dcm", "MR_small.dcm"),
        ("MR_small_bigendian.dcm", "MR_small.dcm"),
        ("MR_small_jpeg_ls_lossless.dcm", "MR_small.dcm"),
        ("emri_small_RLE.dcm", "emri_small.dcm"),
        ("emri_small_big_endian.dcm", "emri_small.dcm"),
        ("emri_small_jpeg_2k_lossless.dcm", "emri_small.dcm"),
        ("emri_small_jpeg_ls_lossless.dcm", "emri_small.dcm"),
        ("SC_rgb_rle_2frame.dcm", "SC_rgb_2frame.dcm"),
        ("OBXXXX1A_rle_2frame.dcm", "OBXXXX1A_2frame.dcm"),
    ],
)
def test_a_lossless_syntax_changes_no_pixel(compressed: str, plain: str, example: Example) -> None:
    pairs = zip(iter_frames(example(compressed)), iter_frames(example(plain)), strict=True)
    for found, expected in pairs:
        assert found.number == expected.number
        assert (found.rgb == expected.rgb).all()


def test_a_deflated_file_is_read(example: Example) -> None:
    (frame,) = iter_frames(example("image_dfl.dcm"))
    assert frame.rgb.shape == (512, 512, 3)
    assert frame.rgb.max() > frame.rgb.min()


def test_an_enhanced_multi_frame_comes_frame_by_frame(example: Example) -> None:
    frames = list(iter_frames(example("emri_small.dcm")))
    assert [frame.number for frame in frames] == list(range(1, 11))
    assert not (frames[0].rgb == frames[9].rgb).all()


def test_palette_colour_becomes_rgb(example: Example) -> None:
    rgb = first_frame(example("OBXXXX1A_2frame.dcm"))
    assert rgb.shape == (600, 800, 3)
    assert (rgb[..., 0] != rgb[..., 2]).any()


def test_a_colour_ultrasound_is_shown_as_stored(tmp_path: Path) -> None:
    path = sources.ultrasound(tmp_path, frames=3)
    frames = list(iter_frames(path))
    assert [frame.number for frame in frames] == [1, 2, 3]
    assert np.allclose(frames[0].rgb[10, 20] * 255, (130, 65, 125))
    assert (frames[1].rgb == np.roll(frames[0].rgb, 1, axis=1)).all()


def test_each_frame_of_an_enhanced_image_has_its_own_rescale_and_window(tmp_path: Path) -> None:
    frames = list(iter_frames(sources.enhanced_mr(tmp_path)))
    # In the source each frame's values, rescale and window all move together.
    assert [frame.number for frame in frames] == [1, 2, 3, 4]
    row, column = np.mgrid[0:40, 0:56]
    expected = np.clip(((row * 7 + column * 3) % 1000 - 499.5) / 1000 + 0.5, 0, 1)
    for frame in frames:
        assert np.allclose(frame.rgb[..., 0], expected, atol=1e-6)


@pytest.mark.parametrize(
    "name", ["JPEG2000.dcm", "JPGExtended.dcm", "693_J2KI.dcm", "SC_rgb_jpeg_dcmtk.dcm"]
)
def test_compressed_files_of_other_makers_are_read(name: str, example: Example) -> None:
    assert first_frame(example(name)).max() > 0.5


def test_a_file_with_fewer_frames_than_announced_ends_in_an_error(tmp_path: Path) -> None:
    path = sources.ultrasound(tmp_path, frames=3)
    content = path.read_bytes()
    broken = tmp_path / "broken.dcm"
    broken.write_bytes(content[: len(content) - 60 * 90 * 3])
    with pytest.raises(UndecodableFrameError):
        list(iter_frames(broken))


def test_a_syntax_that_no_decoder_reads_is_an_error_that_names_it(
    tmp_path: Path, example: Example
) -> None:
    dataset = dcmread(example("JPEG2000.dcm"))
    dataset.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.4.53")
    path = sources.write(dataset, tmp_path / "progressive.dcm")
    with pytest.raises(UndecodableFrameError, match="not supported"):
        list(iter_frames(path))


def test_a_file_without_pixels_has_no_frames(example: Example) -> None:
    with pytest.raises(UnsupportedImageError, match="no pixel data"):
        list(iter_frames(example("rtplan.dcm")))
