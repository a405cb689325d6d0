"""Paper, official and default choices, and their way through JSON."""

import json
from dataclasses import replace
from typing import Any

import pytest

from ai_core.errors import PresetError
from ai_core.presets import DEFAULT, PAPER, Preset
from ai_core.synthesis import (
    DEFAULT_SYNTHESIS,
    OFFICIAL_SYNTHESIS,
    PAPER_SYNTHESIS,
    Distribution,
    SynthesisSettings,
)
from tests.ai_core.synthesis.conftest import BODY_SYNTHESIS

ALL = {
    "body": BODY_SYNTHESIS,
    "default": DEFAULT_SYNTHESIS,
    "official": OFFICIAL_SYNTHESIS,
    "paper": PAPER_SYNTHESIS,
}


def test_the_presets_hold_them() -> None:
    assert DEFAULT.synthesis is DEFAULT_SYNTHESIS
    assert PAPER.synthesis is PAPER_SYNTHESIS
    assert SynthesisSettings() == PAPER_SYNTHESIS


def test_the_papers_text() -> None:
    settings = PAPER_SYNTHESIS
    assert settings.tasks == ("cutpaste", "intensity", "source")
    assert settings.cutpaste.blend == "poisson"
    assert settings.intensity.gamma == Distribution("uniform", 0.4, 0.6)
    assert settings.source.alpha == Distribution("uniform", 2**0.5, 4.0)
    assert len(settings.cutpaste.mask.cells) > 1


def test_the_released_code() -> None:
    settings = OFFICIAL_SYNTHESIS
    assert settings.tasks == ("cutpaste", "intensity", "source", "identity")
    assert settings.cutpaste.blend == "paste"
    assert settings.cutpaste.side == Distribution("uniform", 0.1, 0.6)
    assert settings.cutpaste.turn == 45
    assert settings.cutpaste.scale.kind == "stretch"
    assert settings.cutpaste.mask.cells == settings.intensity.mask.cells == (1,)
    assert settings.intensity.side == Distribution("uniform", 0.3, 0.8)
    assert settings.intensity.noise_sigma == Distribution("either", 4.0, 7.0)
    assert settings.intensity.edge_sigma == Distribution("uniform", 1.0, 4.0)
    assert settings.source.side == Distribution("gamma", 0.2, 0.6)
    assert settings.source.alpha == Distribution("log-uniform", 2**0.5, 4.0)


def test_the_default_is_the_released_code_in_the_papers_outlines() -> None:
    paper, official = PAPER_SYNTHESIS, OFFICIAL_SYNTHESIS
    assert DEFAULT_SYNTHESIS.cutpaste == replace(official.cutpaste, mask=paper.cutpaste.mask)
    assert DEFAULT_SYNTHESIS.intensity == replace(official.intensity, mask=paper.intensity.mask)
    assert DEFAULT_SYNTHESIS.source == official.source
    assert DEFAULT_SYNTHESIS.tasks == official.tasks


@pytest.mark.parametrize("name", ALL)
def test_settings_survive_json(name: str) -> None:
    preset = replace(DEFAULT, synthesis=ALL[name])
    restored = Preset.from_dict(json.loads(json.dumps(preset.to_dict())))
    assert restored == preset
    assert isinstance(restored.synthesis.source.alpha, Distribution)
    assert hash(restored) == hash(preset)


@pytest.mark.parametrize("where", [(), ("cutpaste",), ("cutpaste", "mask"), ("source", "alpha")])
def test_an_unknown_name_at_any_depth_makes_no_preset(where: tuple[str, ...]) -> None:
    values = json.loads(json.dumps(DEFAULT.to_dict()))
    at = values["synthesis"]
    for name in where:
        at = at[name]
    at["flat_size"] = 1
    with pytest.raises(PresetError, match="no setting named flat_size"):
        Preset.from_dict(values)


def test_settings_saved_before_tasks_had_their_own_are_refused() -> None:
    values = json.loads(json.dumps(DEFAULT.to_dict()))
    values["synthesis"] = {"tasks": ["source"], "size": [0.1, 0.6], "gamma": [0.4, 0.6]}
    with pytest.raises(PresetError, match="gamma, size"):
        Preset.from_dict(values)


def test_a_law_that_lost_a_name_or_its_sense_makes_no_preset() -> None:
    values = json.loads(json.dumps(DEFAULT.to_dict()))
    del values["synthesis"]["source"]["alpha"]["low"]
    with pytest.raises(PresetError, match="low"):
        Preset.from_dict(values)
    values["synthesis"]["source"]["alpha"] = {"kind": "bell", "low": 1, "high": 2}
    with pytest.raises(PresetError, match=r"alpha\.kind: .*'stretch', not 'bell'"):
        Preset.from_dict(values)
    values["synthesis"]["source"]["alpha"] = 3.0
    with pytest.raises(PresetError):
        Preset.from_dict(values)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tasks": ("source", "gauss")}, "no synthesis task 'gauss'"),
        ({"tasks": ()}, "at least one task"),
        ({"anomalies": ()}, "at least one task and one number"),
    ],
)
def test_an_unknown_task_or_none_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(PresetError, match=words):
        replace(DEFAULT.synthesis, **changes)
