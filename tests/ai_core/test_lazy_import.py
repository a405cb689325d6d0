"""Whatever only shows stored results gets what it needs of ai_core without loading torch."""

import subprocess
import sys

import pytest

import ai_core

FACES = (
    "ai_core",
    "ai_core.backbone",
    "ai_core.evaluation",
    "ai_core.evaluation.report",
    "ai_core.images",
    "ai_core.model",
    "ai_core.synthesis",
)

TORCH_FREE = """
import json, sys
import ai_core
from ai_core import (
    DEFAULT,
    BackboneUnavailableError,
    CalibrationError,
    CorruptDetectorError,
    DetectorError,
    DetectorInfo,
    DeviceMemoryError,
    FitProgress,
    ImageInputError,
    OperatingPoint,
    PictureError,
    Preset,
    PresetError,
    Progress,
    SupportSetError,
    Verdict,
    WeightsMismatchError,
    aggregate,
    get_preset,
    normals_needed,
    preset_names,
    read_detector_info,
)
from ai_core.backbone import BUNDLED, UNTRAINED, Precision, keep_freed_memory
from ai_core.evaluation import Row, RunFolder, cells_of, method_title, to_csv, to_markdown
from ai_core.files import write_bytes, write_text
from ai_core.images import PICTURE_SUFFIXES, Mode, Placement, between_percentiles, read_picture
from ai_core.model import PatchBankSettings, PromptSettings
from ai_core.synthesis import DEFAULT_SYNTHESIS, Distribution, SynthesisSettings, on_body

for name in preset_names():
    preset = get_preset(name)
    assert Preset.from_dict(json.loads(json.dumps(preset.to_dict()))) == preset
point = OperatingPoint((0.1, 0.2, 0.3), false_positive_rate=0.25)
assert point.verdict(aggregate([0.1, 0.9])) is Verdict.ABNORMAL
assert normals_needed(0.05) == 8
loaded = {"torch", "open_clip", "torchvision", "openvino"} & set(sys.modules)
assert not loaded, f"loaded: {', '.join(sorted(loaded))}"
"""


def test_settings_results_and_errors_need_no_torch():
    done = subprocess.run(
        [sys.executable, "-c", TORCH_FREE], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("face", FACES)
def test_every_name_of_a_lazy_face_exists(face: str):
    module = __import__(face, fromlist=["__all__"])
    assert module.__all__
    for name in module.__all__:
        assert hasattr(module, name), f"{face} promises {name}"
    assert sorted(set(module.__all__)) == sorted(module.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = ai_core.no_such_name  # type: ignore[attr-defined]
