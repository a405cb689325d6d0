"""A preset with one choice taken back at a time, so that each has to earn its place."""

from dataclasses import replace

from ai_core.presets import Preset
from ai_core.synthesis import PAPER_SYNTHESIS


def ablations(preset: Preset) -> tuple[Preset, ...]:
    """The preset itself, then one variant for each choice in which it differs from the paper's.

    A variant is named after what it does without, as in "default, no memory".
    """
    training, synthesis = preset.training, preset.synthesis
    variants = {
        "no memory": replace(preset, memory=None),
        "last weights": replace(preset, training=replace(training, average_last=0.0)),
        "channels as they are": replace(preset, training=replace(training, standardise=False)),
        "maximum of the map": replace(preset, image_score="max"),
        "stretched": replace(preset, geometry="stretch"),
        "anomalies off the body": replace(preset, synthesis=replace(synthesis, place="inside")),
        "the paper's anomalies": replace(
            preset, synthesis=replace(PAPER_SYNTHESIS, place=synthesis.place)
        ),
    }
    changed = [
        replace(variant, name=f"{preset.name}, {name}")
        for name, variant in variants.items()
        if variant != preset
    ]
    return (preset, *changed)
