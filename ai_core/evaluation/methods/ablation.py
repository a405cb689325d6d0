"""A preset with one choice changed at a time, so that each has to earn its place."""

from dataclasses import replace

from ai_core.presets import Preset
from ai_core.synthesis import OFFICIAL_SYNTHESIS, PAPER_SYNTHESIS, on_body


def ablations(preset: Preset) -> tuple[Preset, ...]:
    """Return the preset itself, then one variant for each choice that could be otherwise.

    A variant is named after what is changed, as in "default, no memory".
    """
    training = preset.training
    variants = {
        "no memory": replace(preset, memory=None),
        **_memories(preset),
        **_blends(preset),
        "last weights": replace(preset, training=replace(training, average_last=0.0)),
        "prompts at every update": replace(preset, training=replace(training, prompts_every=1)),
        "channels standardised": replace(preset, training=replace(training, standardise=True)),
        "maximum of the map": replace(preset, image_score="max"),
        "stretched": replace(preset, geometry="stretch"),
        "the paper's Eq. 2": replace(preset, temperature=0.07, fusion="softmax-then-mean"),
        "the released code's anomalies": replace(preset, synthesis=OFFICIAL_SYNTHESIS),
        "the paper's anomalies": replace(preset, synthesis=PAPER_SYNTHESIS),
        "anomalies on the body": replace(preset, synthesis=on_body(preset.synthesis)),
    }
    changed = [
        replace(variant, name=f"{preset.name}, {name}")
        for name, variant in variants.items()
        if variant != preset
    ]
    return (preset, *changed)


def _memories(preset: Preset) -> dict[str, Preset]:
    if preset.memory is None:
        return {}
    memories = {
        "all blocks in the memory": replace(preset.memory, blocks="all"),
        "no place in the memory": replace(preset.memory, place_weight=0.0),
        "memory not whitened": replace(preset.memory, whiten=False),
    }
    return {name: replace(preset, memory=memory) for name, memory in memories.items()}


def _blends(preset: Preset) -> dict[str, Preset]:
    if preset.blend is None:
        return {}
    blends = {
        "no mirror asymmetry": replace(preset.blend, mirror_weight=0.0),
        "no log-odds": replace(preset.blend, odds_weight=0.0),
        "level as it is": replace(preset.blend, level_share=0.0),
    }
    return {name: replace(preset, blend=blend) for name, blend in blends.items()}
