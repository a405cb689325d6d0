"""The untrained tower, loaded once."""

import pytest

from ai_core import Backbone, load_backbone


@pytest.fixture(scope="session")
def backbone() -> Backbone:
    return load_backbone(weights="untrained", device="cpu")
