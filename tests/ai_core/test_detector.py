"""A fitted detector: the same from the same seed, saved bit for bit, and it finds what is odd."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from ai_core import (
    DEFAULT,
    PAPER,
    CorruptDetectorError,
    Detector,
    FitProgress,
    ImageInputError,
    SupportSetError,
    WeightsMismatchError,
    load_backbone,
    read_detector_info,
)
from ai_core.images.checks import image_digests
from ai_core.storage import pack, unpack
from tests.ai_core.conftest import disc, load_tiny, quicker, seeded, textured


@pytest.fixture(scope="module")
def images() -> Tensor:
    return textured(5, seed=21)


def test_the_same_seed_gives_the_same_bytes(fitted, backbone, support, quick):
    again = Detector.fit(support, backbone=backbone, preset=quick, generator=seeded(7))
    assert again.to_bytes() == fitted.to_bytes()
    assert again.sha256 == fitted.sha256


def test_another_seed_gives_another_detector(fitted, backbone, support, quick):
    other = Detector.fit(support, backbone=backbone, preset=quick, generator=seeded(8))
    assert other.to_bytes() != fitted.to_bytes()
    assert other.sha256 != fitted.sha256


def test_the_next_draw_from_one_generator_gives_another_detector(tiny_backbone, support, quick):
    generator = seeded(7)
    first, following = (
        Detector.fit(support, backbone=tiny_backbone, preset=quick, generator=generator)
        for _ in range(2)
    )
    assert first.sha256 != following.sha256


def test_a_detector_says_what_it_was_fitted_with(fitted, backbone, support, quick):
    info = fitted.info
    assert (info.preset, info.seed, info.k) == (quick, 7, 6)
    assert (info.backbone, info.weights) == ("untrained", "untrained")
    assert (info.backbone_sha256, info.blocks) == (backbone.sha256, (2, 3, 4))
    assert info.support_sha256 == image_digests(support)


def test_maps_and_scores_have_the_promised_shape_type_and_range(fitted, images):
    scores = fitted.score(images)
    assert scores.maps.shape == (5, 224, 224)
    assert scores.scores.shape == (5,)
    assert scores.maps.dtype == scores.scores.dtype == torch.float32
    assert scores.maps.device.type == scores.scores.device.type == "cpu"
    assert 0 <= float(scores.maps.min()) < float(scores.maps.max()) <= 1
    assert bool((scores.scores <= scores.maps.flatten(1).amax(1)).all())
    assert not scores.maps.requires_grad


def test_the_papers_score_is_the_maximum_of_the_map(tiny_backbone, support, images):
    preset = quicker(PAPER, epochs=2, batch=4, loss_side=28)
    detector = Detector.fit(support, backbone=tiny_backbone, preset=preset, generator=seeded(1))
    scores = detector.score(images)
    assert torch.equal(scores.scores, scores.maps.flatten(1).amax(1))
    assert detector.info.preset == preset


def test_no_images_have_no_scores(fitted):
    scores = fitted.score(torch.zeros(0, 3, 224, 224))
    assert scores.maps.shape == (0, 224, 224)
    assert scores.scores.shape == (0,)


@pytest.mark.parametrize("batch_size", [1, 2, 4, 100])
def test_a_score_does_not_depend_on_the_batch_size(fitted, images, batch_size):
    expected, found = fitted.score(images), fitted.score(images, batch_size=batch_size)
    torch.testing.assert_close(found.maps, expected.maps, rtol=0, atol=1e-5)
    torch.testing.assert_close(found.scores, expected.scores, rtol=0, atol=1e-5)


def test_a_score_does_not_depend_on_the_company_of_an_image(fitted, images):
    company = torch.stack([images[2], torch.zeros(3, 224, 224), torch.ones(3, 224, 224)])
    alone, among = fitted.score(images[2:3]), fitted.score(company)
    torch.testing.assert_close(among.maps[:1], alone.maps, rtol=0, atol=1e-5)
    torch.testing.assert_close(among.scores[:1], alone.scores, rtol=0, atol=1e-5)
    turned = fitted.score(images.flip(0))
    torch.testing.assert_close(turned.scores.flip(0), fitted.score(images).scores)


def test_tokens_that_are_there_already_score_like_their_images(fitted, backbone, images):
    found = fitted.score_encoded(backbone.encode(images), images=images)
    expected = fitted.score(images, batch_size=len(images))
    assert torch.equal(found.maps, expected.maps)
    assert torch.equal(found.scores, expected.scores)
    assert torch.equal(found.in_scope, expected.in_scope)
    assert found.unlike == expected.unlike


def test_tokens_without_their_images_are_judged_by_their_embedding(fitted, backbone, images):
    encoded = backbone.encode(images)
    found = fitted.score_encoded(encoded)
    assert torch.equal(found.scores, fitted.score_encoded(encoded, images=images).scores)
    assert torch.equal(found.in_scope, fitted.in_scope(encoded.embedding))
    assert [kind is None for kind in found.unlike] == found.in_scope.tolist()


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_a_constant_image_is_scored_with_finite_numbers(fitted, value):
    scores = fitted.score(torch.full((1, 3, 224, 224), value))
    assert bool(torch.isfinite(scores.maps).all())
    assert bool(torch.isfinite(scores.scores).all())


def test_wrong_images_are_neither_fitted_nor_scored(fitted, backbone, quick):
    for wrong in (torch.full((2, 3, 224, 224), float("nan")), torch.rand(2, 3, 32, 32)):
        with pytest.raises(ImageInputError):
            fitted.score(wrong)
        with pytest.raises(ImageInputError):
            Detector.fit(wrong, backbone=backbone, preset=quick, generator=seeded(0))


def test_one_image_or_constant_ones_are_no_support_set(backbone, support, quick):
    for wrong in (support[:1], torch.full((3, 3, 224, 224), 0.3)):
        with pytest.raises(SupportSetError):
            Detector.fit(wrong, backbone=backbone, preset=quick, generator=seeded(0))


def test_two_images_are_enough(tiny_backbone, support, quick):
    detector = Detector.fit(support[:2], backbone=tiny_backbone, preset=quick, generator=seeded(0))
    assert detector.info.k == 2
    assert bool(torch.isfinite(detector.score(support).scores).all())


def test_fitting_tells_encoding_first_and_training_then(tiny_backbone, support, quick):
    told: list[FitProgress] = []
    Detector.fit(
        support, backbone=tiny_backbone, preset=quick, generator=seeded(0), progress=told.append
    )
    batch = tiny_backbone.batch_size  # what suits this machine
    assert [(state.stage, state.step, state.steps) for state in told] == [
        *(("encode", min(first + batch, 16), 16) for first in range(0, 16, batch)),
        ("train", 3, 3),
    ]


def test_a_saved_detector_scores_exactly_alike(fitted, backbone, images, tmp_path):
    fitted.save(tmp_path / "own.detector")
    loaded = Detector.load(tmp_path / "own.detector", backbone=backbone)
    assert (loaded.sha256, loaded.info) == (fitted.sha256, fitted.info)
    assert loaded.to_bytes() == fitted.to_bytes()
    before, after = fitted.score(images), loaded.score(images)
    assert torch.equal(before.maps, after.maps)
    assert torch.equal(before.scores, after.scores)


def test_a_detector_of_format_1_is_read_as_it_was(fitted, backbone, images):
    tensors, info = unpack(fitted.to_bytes())
    old = pack(tensors, replace(info, format_version=1))
    loaded = Detector.from_bytes(old, backbone=backbone)
    assert loaded.sha256 == fitted.sha256
    assert loaded.info.format_version == 1
    before, after = fitted.score(images), loaded.score(images)
    assert torch.equal(before.maps, after.maps)
    assert torch.equal(before.scores, after.scores)
    # one head on all studies: its maps are not cut at the image score
    assert bool((after.maps.flatten(1).amax(1) > after.scores).all())


def test_saving_replaces_the_file_and_leaves_nothing_else(fitted, tmp_path):
    file = tmp_path / "own.detector"
    file.write_bytes(b"what was there")
    fitted.save(str(file))
    assert file.read_bytes() == fitted.to_bytes()
    assert list(tmp_path.iterdir()) == [file]


def test_a_detector_describes_itself_without_a_backbone(fitted):
    assert read_detector_info(fitted.to_bytes()) == fitted.info


@pytest.mark.parametrize("case", ["other model", "other weights", "other blocks"])
def test_another_backbone_is_refused_by_both_names(fitted, tiny, case):
    other = {
        "other model": lambda: load_tiny(tiny),
        "other weights": lambda: load_backbone(weights="untrained", device="cpu", seed=1),
        "other blocks": lambda: load_backbone(weights="untrained", device="cpu", blocks=(1, 2, 4)),
    }[case]()
    with pytest.raises(WeightsMismatchError) as caught:
        Detector.from_bytes(fitted.to_bytes(), backbone=other)
    for part in (fitted.info.backbone_sha256[:12], other.sha256[:12], str(other.blocks)):
        assert part in str(caught.value)


def test_damaged_bytes_are_refused(fitted, backbone, tmp_path):
    data = fitted.to_bytes()
    places = torch.randint(len(data), (60,), generator=seeded(0)).tolist()
    for place in [*places, 0, 9, len(data) - 1]:
        damaged = bytearray(data)
        damaged[place] ^= 0x10
        with pytest.raises(CorruptDetectorError):
            Detector.from_bytes(bytes(damaged), backbone=backbone)
        with pytest.raises(CorruptDetectorError):
            Detector.from_bytes(data[:place], backbone=backbone)
    (tmp_path / "empty").touch()
    with pytest.raises(CorruptDetectorError):
        Detector.load(tmp_path / "empty", backbone=backbone)


def with_blobs(images: Tensor, *, seed: int) -> tuple[Tensor, Tensor]:
    """The images with a bright disc in each, and the discs, bool, shape (N, 224, 224)."""
    places = torch.randint(70, 155, (len(images), 2), generator=seeded(seed)).tolist()
    blobs = torch.stack([disc(row, column, radius=18) for row, column in places])
    return (images + 0.4 * blobs[:, None]).clamp(0, 1), blobs


def test_bright_blobs_are_told_from_normals_and_the_peak_lies_in_them(backbone, support):
    preset = quicker(DEFAULT, pool_images=32, updates=12, loss_side=28)
    detector = Detector.fit(support, backbone=backbone, preset=preset, generator=seeded(3))
    anomalous, blobs = with_blobs(textured(12, seed=31), seed=32)
    normal, odd = detector.score(textured(12, seed=33)), detector.score(anomalous)
    auroc = float((odd.scores[:, None] > normal.scores[None]).float().mean())
    assert auroc > 0.9
    peaks = odd.maps.flatten(1).argmax(1)
    inside = blobs.flatten(1)[torch.arange(12), peaks]
    assert int(inside.sum()) >= 11


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cpu_and_cuda_give_the_same_scores(fitted, images):
    there = load_backbone(weights="untrained", device="cuda", precision="fp32")
    moved = Detector.from_bytes(fitted.to_bytes(), backbone=there)
    assert moved.sha256 == fitted.sha256
    here, far = fitted.score(images), moved.score(images)
    torch.testing.assert_close(far.maps, here.maps, rtol=0, atol=2e-3)
    torch.testing.assert_close(far.scores, here.scores, rtol=0, atol=2e-3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_fit_on_cuda_finds_the_blobs_too(support, quick):
    there = load_backbone(weights="untrained", device="cuda")
    preset = quicker(DEFAULT, pool_images=32, updates=12, loss_side=28)
    detector = Detector.fit(support.cuda(), backbone=there, preset=preset, generator=seeded(3))
    anomalous, _ = with_blobs(textured(12, seed=31), seed=32)
    normal, odd = detector.score(textured(12, seed=33)), detector.score(anomalous)
    assert float((odd.scores[:, None] > normal.scores[None]).float().mean()) > 0.9
