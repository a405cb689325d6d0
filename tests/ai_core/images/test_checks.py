"""What the detector takes as an image, and what it says about anything else."""

from __future__ import annotations

import hashlib

import pytest
import torch

from ai_core import ImageInputError, SupportSetError
from ai_core.images.checks import check_images, check_support, image_digests
from tests.ai_core.conftest import textured


def spoilt(value: float, *, at: int) -> torch.Tensor:
    images = textured(4, seed=0)
    images[at, 1, 100, 100] = value
    return images


def test_right_images_come_back_as_they_are(support):
    assert check_images(support) is support
    assert check_support(support) is support


def test_no_image_is_fine_and_both_ends_of_the_range_belong_to_it():
    assert len(check_images(torch.zeros(0, 3, 224, 224))) == 0
    assert check_images(torch.stack([torch.zeros(3, 224, 224), torch.ones(3, 224, 224)])).max() == 1


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_values_that_are_not_finite_are_told_with_their_image(value):
    with pytest.raises(ImageInputError, match=r"images \[2\] hold values that are not finite"):
        check_images(spoilt(value, at=2))


@pytest.mark.parametrize("value", [-0.001, 1.001, 255.0])
def test_values_out_of_range_are_told_with_the_range(value):
    with pytest.raises(ImageInputError, match=rf"\[0, 1\], not in \[.*{value:.4g}"):
        check_images(spoilt(value, at=0))


@pytest.mark.parametrize(
    "shape", [(3, 224, 224), (1, 1, 224, 224), (1, 224, 224, 3), (1, 3, 224, 225), (0, 3, 8, 8)]
)
def test_another_shape_is_told(shape):
    with pytest.raises(ImageInputError, match=r"shape \(N, 3, 224, 224\), not"):
        check_images(torch.zeros(shape))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float64, torch.float16, torch.int64])
def test_another_type_is_told(dtype):
    with pytest.raises(ImageInputError, match=f"float32.*{dtype}"):
        check_images(torch.zeros(1, 3, 224, 224, dtype=dtype))


def test_what_is_no_tensor_is_told(support):
    with pytest.raises(ImageInputError, match=r"torch\.Tensor, not ndarray"):
        check_images(support.numpy())


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_images_are_no_support_set(support, count):
    with pytest.raises(SupportSetError, match=f"at least 2 normal images, got {count}"):
        check_support(support[:count])


def test_constant_images_are_told_by_their_places(support):
    images = support.clone()
    images[1], images[4] = 0.5, 0.0
    with pytest.raises(SupportSetError, match=r"\[1, 4\] are constant"):
        check_support(images)


def test_many_places_are_shortened():
    with pytest.raises(SupportSetError, match=r"\[0, 1, 2, 3, 4, 5, 6, 7, … 9 in all\]"):
        check_support(torch.zeros(9, 3, 224, 224))


def test_a_wrong_support_set_is_wrong_images_first():
    with pytest.raises(ImageInputError):
        check_support(torch.zeros(1, 3, 8, 8))


def test_digests_are_sha256_of_the_float32_bytes_of_each_image(support):
    expected = [hashlib.sha256(image.numpy().tobytes()).hexdigest() for image in support]
    assert image_digests(support) == tuple(expected)
    assert len(set(expected)) == len(support)


def test_digests_do_not_depend_on_the_memory_layout(support):
    turned = support.contiguous(memory_format=torch.channels_last)
    assert turned.stride() != support.stride()
    assert image_digests(turned) == image_digests(support)
