"""Detectors and presets that earlier code stored are read as they were meant."""

import json
from dataclasses import replace
from typing import Any

import pytest
import safetensors.torch
import torch

from ai_core import (
    DEFAULT,
    CorruptDetectorError,
    DetectorInfo,
    Preset,
    PresetError,
    get_preset,
    preset_names,
    read_detector_info,
)
from ai_core.model import PatchBankSettings
from ai_core.storage import pack, unpack

# As commit 8769e21 wrote it, before pydantic checked presets.
DESCRIPTION = (
    '{"backbone": "untrained", "backbone_sha256": '
    '"abababababababababababababababababababababababababababababababab", "blocks": [2, 3, 4], '
    '"description_sha256": "9b93d6645b03f2660b1a04c7cda6d66215c95341f388c3e7fe62335ee9771654", '
    '"format_version": 1, "precision": "fp32", "preset": {"adapter": true, "align_corners": false, '
    '"fusion": "mean-then-softmax", "geometry": "pad", "image_score": "top-mean", "map_scale": '
    '"log-odds", "memory": {"blocks": "middle", "place_weight": 3.0, "size": 4096, "weight": 1.5}, '
    '"name": "default", "prompts": {"causal": true, "context": 8, "ending": "", "per_class": '
    'false, "unit_features": true}, "synthesis": {"anomalies": [1, 2], "attempts": 0, "cutpaste": '
    '{"blend": "paste", "label": "visible", "mask": {"bound": "ellipse", "cells": [1, 2, 4], '
    '"least": 0.2, "share": [0.35, 0.9], "threshold": null}, "reach": 1.0, "scale": {"high": 2.0, '
    '"kind": "stretch", "low": 0.5}, "side": {"high": 0.6, "kind": "uniform", "low": 0.1}, '
    '"turn": 45.0}, "intensity": {"edge": "inside", "edge_sigma": {"high": 4.0, "kind": "uniform", '
    '"low": 1.0}, "ellipse_share": 0.0, "flat_share": 0.0, "gamma": {"high": 0.6, "kind": '
    '"uniform", "low": 0.4}, "label": "mask", "mask": {"bound": "ellipse", "cells": [1, 2, 4], '
    '"least": 0.2, "share": [0.35, 0.9], "threshold": null}, "noise_sigma": {"high": 7.0, "kind": '
    '"either", "low": 4.0}, "side": {"high": 0.8, "kind": "uniform", "low": 0.3}}, "place": '
    '"inside", "source": {"alpha": {"high": 4.0, "kind": "log-uniform", "low": '
    '1.4142135623730951}, "centre": "drawn", "label": "mask", "shear": 0.2, "side": {"high": 0.6, '
    '"kind": "gamma", "low": 0.2}}, "tasks": ["cutpaste", "intensity", "source", "identity"], '
    '"visible": 0.00392156862745098}, "temperature": 1.0, "top_share": 0.002, "training": '
    '{"average_last": 0.25, "batch": 8, "betas": [0.5, 0.999], "epochs": 200, "focal_gamma": 2.0, '
    '"learning_rate": 0.001, "loss_side": 56, "pool_images": 128, "prompts_every": 2, '
    '"standardise": false, "updates": 160}}, "seed": 7, "support_sha256": '
    '["cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd", '
    '"efefefefefefefefefefefefefefefefefefefefefefefefefefefefefefefef"], "tensors_sha256": '
    '"43ad677b6bee4883582362a96cc026f1cac5da91ec15bbf4fd9201b7dba24e88", "weights": "untrained"}'
)
DEFAULT_AT_8769E21 = replace(
    DEFAULT,
    memory=PatchBankSettings(weight=1.5, blocks="middle", place_weight=3.0),
    blend=None,
)
TENSORS = {"text": torch.tensor([[0.5, -1.0], [2.0, 0.25]])}


@pytest.fixture
def stored() -> bytes:
    return safetensors.torch.save(TENSORS, metadata={"mediclip_detector": DESCRIPTION})


def test_a_detector_stored_before_is_read(stored: bytes):
    info = read_detector_info(stored)
    assert info == DetectorInfo(
        preset=DEFAULT_AT_8769E21,
        backbone="untrained",
        weights="untrained",
        backbone_sha256="ab" * 32,
        blocks=(2, 3, 4),
        precision="fp32",
        seed=7,
        support_sha256=("cd" * 32, "ef" * 32),
        format_version=1,
    )
    tensors, again = unpack(stored)
    assert again == info
    assert torch.equal(tensors["text"], TENSORS["text"])


def test_the_stored_form_is_the_same_to_the_byte(stored: bytes):
    assert pack(TENSORS, read_detector_info(stored)) == stored


@pytest.mark.parametrize("name", preset_names())
def test_a_stored_preset_is_equal_and_hashable(name: str):
    restored = Preset.from_dict(json.loads(json.dumps(get_preset(name).to_dict())))
    assert restored == get_preset(name)
    assert hash(restored) == hash(get_preset(name))


@pytest.mark.parametrize(
    ("where", "value", "words"),
    [
        (("temperature",), 0.0, "temperature: input should be greater than 0, not 0.0"),
        (("temperature",), "1.0", "temperature: .*valid number, not '1.0'"),
        (("adapter",), 1, "adapter: .*boolean"),
        (("top_share",), 1.5, "top_share: .*less than or equal to 1, not 1.5"),
        (("fusion",), "none", "fusion: .*'softmax-then-mean' or 'mean-then-softmax', not 'none'"),
        (("training", "batch"), 0, "training.batch: .*greater than 0"),
        (("training", "betas"), [0.5], "training.betas lacks 1"),
        (("memory", "size"), -1, "memory.size"),
        (("synthesis", "cutpaste", "mask", "cells"), [], "synthesis.cutpaste.mask.cells"),
        (("synthesis", "tasks"), ["gauss"], "synthesis.tasks.0: .*'gauss'"),
        (("synthesis", "tasks"), [], "at least one task"),
        (("synthesis", "source", "alpha", "low"), 9.0, "from 9.0 down to 4.0; swap the ends"),
    ],
)
def test_a_value_out_of_range_is_told_with_its_place(
    where: tuple[str, ...], value: Any, words: str
):
    values: Any = json.loads(DESCRIPTION)["preset"]
    at = values
    for name in where[:-1]:
        at = at[name]
    at[where[-1]] = value
    with pytest.raises(PresetError, match=words):
        Preset.from_dict(values)


def test_a_description_that_makes_no_sense_is_a_damaged_detector():
    info = read_detector_info(safetensors.torch.save(TENSORS, {"mediclip_detector": DESCRIPTION}))
    for changes in ({"seed": "seven"}, {"blocks": ("two",)}, {"precision": "fp64"}):
        values = {name: getattr(info, name) for name in DetectorInfo.__slots__}
        with pytest.raises(CorruptDetectorError, match=next(iter(changes))):
            read_detector_info(pack(TENSORS, DetectorInfo(**{**values, **changes})))
