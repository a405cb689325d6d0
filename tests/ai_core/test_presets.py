"""Presets have names, survive JSON, and say what is wrong with others."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError

import pytest

from ai_core import DEFAULT, PAPER, Preset, PresetError, get_preset, preset_names
from ai_core.model import PatchBankSettings

PRESETS = [get_preset(name) for name in preset_names()]


def test_every_name_gives_the_preset_of_that_name():
    assert [preset.name for preset in PRESETS] == list(preset_names())
    assert {"default", "paper"} <= set(preset_names())
    assert (get_preset("default"), get_preset("paper")) == (DEFAULT, PAPER)


def test_an_unknown_name_is_told_with_the_known_ones():
    with pytest.raises(PresetError, match=r"no preset 'papers'; there are .*default.*paper"):
        get_preset("papers")


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_a_preset_survives_json(preset):
    assert Preset.from_dict(json.loads(json.dumps(preset.to_dict()))) == preset


def test_a_memory_of_before_there_was_a_choice_compares_all_blocks_wherever_a_patch_lies():
    values = json.loads(json.dumps(DEFAULT.to_dict()))
    values["memory"] = {"size": 4096, "weight": 1.0}
    assert Preset.from_dict(values).memory == PatchBankSettings(blocks="all", place_weight=0.0)


def test_the_papers_figures_are_the_papers():
    assert (PAPER.prompts.context, PAPER.temperature, PAPER.fusion) == (
        8,
        0.07,
        "softmax-then-mean",
    )
    assert (PAPER.map_scale, PAPER.image_score) == ("probability", "max")
    training = PAPER.training
    assert (training.epochs, training.batch, training.learning_rate) == (200, 8, 1e-3)
    assert (training.pool_images, training.loss_side, training.focal_gamma) == (0, 224, 2.0)
    assert PAPER.synthesis.tasks == ("cutpaste", "intensity", "source")


def test_a_preset_cannot_be_changed_in_place():
    with pytest.raises(FrozenInstanceError):
        DEFAULT.temperature = 0.5  # type: ignore[misc]


@pytest.mark.parametrize("part", [None, "training", "synthesis", "prompts"])
def test_an_unknown_setting_is_told_by_its_name(part):
    values = PAPER.to_dict()
    (values[part] if part else values)["colour"] = 3
    with pytest.raises(PresetError, match="no setting named colour"):
        Preset.from_dict(values)


@pytest.mark.parametrize("missing", ["name", "training", "synthesis", "prompts"])
def test_a_missing_part_is_told(missing):
    values = PAPER.to_dict()
    del values[missing]
    with pytest.raises(PresetError, match=missing):
        Preset.from_dict(values)


@pytest.mark.parametrize("part", ["training", "synthesis", "prompts"])
@pytest.mark.parametrize("value", [3, "text", [], ["a"]])
def test_a_part_of_another_kind_is_told(part, value):
    with pytest.raises(PresetError):
        Preset.from_dict({**PAPER.to_dict(), part: value})


@pytest.mark.parametrize("values", [3, "text", [1], None])
def test_values_of_another_kind_are_told(values):
    with pytest.raises(PresetError):
        Preset.from_dict(values)
