"""Names of weights and precisions; importable without torch."""

from typing import Literal

BUNDLED = "bundled"
"""The literal that asks for the small trained tower of this package."""

UNTRAINED = "untrained"
"""The literal that asks for the small, seeded, untrained tower."""

PACKAGED_WEIGHTS = (BUNDLED, UNTRAINED)
"""Weights that come with this package, whatever the model's name."""

Precision = Literal["fp32", "bf16", "int8"]
"""Number format of the tower's matrix products; its residual stream is float32 in all of them."""

EARLIER = "earlier"
"""Tag that reads a weights file as version 0.1 did: its config's activation, and CLIP's colours."""
