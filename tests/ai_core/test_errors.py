"""A caller can tell the detector's errors apart and catch them all with one type."""

from __future__ import annotations

import pytest

import ai_core
from ai_core import BackboneUnavailableError, DetectorError

TYPED = [
    getattr(ai_core, name)
    for name in ai_core.__all__
    if name.endswith("Error") and name != "DetectorError"
]


def test_there_are_typed_errors():
    assert len(TYPED) == 11


@pytest.mark.parametrize("kind", TYPED, ids=lambda kind: kind.__name__)
def test_every_error_is_a_detector_error(kind):
    assert issubclass(kind, DetectorError)


@pytest.mark.parametrize(
    "name", ["ImageInputError", "SupportSetError", "CalibrationError", "PresetError"]
)
def test_wrong_values_are_value_errors_too(name):
    assert issubclass(getattr(ai_core, name), ValueError)


def test_missing_weights_say_what_where_why_and_what_to_do(tmp_path):
    error = BackboneUnavailableError(
        model="ViT-L-14", weights="openai", cache_dir=tmp_path, reason="not in the cache"
    )
    text = str(error)
    for part in (
        "'openai'",
        "'ViT-L-14'",
        str(tmp_path),
        "not in the cache",
        "copy a weights file",
    ):
        assert part in text
    assert (error.model, error.weights, error.cache_dir) == ("ViT-L-14", "openai", str(tmp_path))
