"""Variants of a preset, each with one choice changed."""

from dataclasses import fields, replace

from ai_core import DEFAULT, PAPER, Preset
from ai_core.evaluation import ablations


def differences(variant: Preset, preset: Preset) -> list[str]:
    return [
        item.name
        for item in fields(Preset)
        if item.name != "name" and getattr(variant, item.name) != getattr(preset, item.name)
    ]


def test_each_variant_changes_one_choice_and_says_which():
    preset, *variants = ablations(DEFAULT)
    assert preset == DEFAULT
    assert {variant.name: differences(variant, DEFAULT) for variant in variants} == {
        "default, no memory": ["memory"],
        "default, all blocks in the memory": ["memory"],
        "default, no place in the memory": ["memory"],
        "default, memory not whitened": ["memory"],
        "default, no mirror asymmetry": ["blend"],
        "default, no log-odds": ["blend"],
        "default, level as it is": ["blend"],
        "default, last weights": ["training"],
        "default, prompts at every update": ["training"],
        "default, channels standardised": ["training"],
        "default, maximum of the map": ["image_score"],
        "default, stretched": ["geometry"],
        "default, the paper's Eq. 2": ["temperature", "fusion"],
        "default, the released code's anomalies": ["synthesis"],
        "default, the paper's anomalies": ["synthesis"],
        "default, anomalies on the body": ["synthesis"],
    }


def test_what_a_preset_does_without_already_is_no_variant():
    assert [variant.name for variant in ablations(PAPER)] == [
        "paper",
        "paper, channels standardised",
        "paper, the released code's anomalies",
        "paper, anomalies on the body",
    ]
    plain = replace(DEFAULT, memory=None)
    assert not [variant.name for variant in ablations(plain) if "memory" in variant.name]
