"""Arguments that make no sense are refused in words; a detector is copied, or says what to do."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch

from ai_core import (
    Detector,
    DetectorError,
    ImageInputError,
    PresetError,
    SupportSetError,
    fit_calibrated,
)
from tests.ai_core.conftest import seeded, textured


@pytest.mark.parametrize("batch_size", [-1, 0, 1.5, True])
def test_a_batch_size_that_is_none_is_refused(fitted: Detector, batch_size: Any) -> None:
    with pytest.raises(ImageInputError, match="batch_size is a whole number of at least 1"):
        fitted.score(textured(2, seed=1), batch_size=batch_size)


@pytest.mark.parametrize("preset", ["quick", None, {}])
def test_something_else_than_a_preset_is_refused(backbone: Any, preset: Any) -> None:
    images = textured(4, seed=1)
    with pytest.raises(PresetError, match="preset is a Preset, not"):
        Detector.fit(images, backbone=backbone, preset=preset, generator=seeded(0))
    with pytest.raises(PresetError, match="preset is a Preset, not"):
        fit_calibrated(images, range(4), backbone=backbone, preset=preset, generator=seeded(0))


@pytest.mark.parametrize("groups", [[0, 1], [0, 1, 2, 3, 4], [0.0, 1.0, 2.0, 3.0], ["a"] * 4])
def test_groups_that_are_not_one_for_each_image_are_refused(backbone: Any, groups: Any) -> None:
    with pytest.raises(SupportSetError, match="groups"):
        Detector.fit(textured(4, seed=1), backbone=backbone, groups=groups, generator=seeded(0))


def test_a_fit_under_no_grad_is_the_same_fit(fitted, backbone, support, quick) -> None:
    with torch.no_grad():
        again = Detector.fit(support, backbone=backbone, preset=quick, generator=seeded(7))
    assert again.sha256 == fitted.sha256
    assert torch.is_grad_enabled()


def test_a_fit_in_inference_mode_is_refused_in_words(backbone, support, quick) -> None:
    with torch.inference_mode(), pytest.raises(DetectorError, match="outside of that"):
        Detector.fit(support, backbone=backbone, preset=quick, generator=seeded(7))


def test_a_detector_is_copied_and_says_how_to_be_sent(fitted: Detector) -> None:
    images = textured(2, seed=4)
    for one in (copy.copy(fitted), copy.deepcopy(fitted)):
        assert one.sha256 == fitted.sha256
        assert torch.equal(one.score(images).maps, fitted.score(images).maps)
    with pytest.raises(DetectorError, match=r"to_bytes\(\).*from_bytes"):
        pickle.dumps(fitted)
