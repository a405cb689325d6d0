"""The small backbone in the box: there, small enough, and what its card says."""

from __future__ import annotations

import hashlib
import json
from importlib.resources import files
from pathlib import Path

import pytest

from ai_core import Backbone, load_backbone

BOX = files("ai_core.backbone.bundled")
CARD = Path(__file__).parents[3] / "docs" / "backbone.md"


@pytest.fixture(scope="module")
def bundled() -> Backbone:
    return load_backbone(weights="bundled", device="cpu")


def test_it_loads_whatever_model_is_named(bundled: Backbone) -> None:
    assert (bundled.name, bundled.weights, bundled.trained) == ("bundled", "bundled", True)
    assert (bundled.grid, bundled.blocks) == (16, (2, 3, 4))
    assert load_backbone("bundled", "bundled", device="cpu").sha256 == bundled.sha256


def test_the_file_is_small_and_the_one_that_the_card_describes(bundled: Backbone) -> None:
    weights = (BOX / "bundled.safetensors").read_bytes()
    assert len(weights) <= 12e6
    digest = hashlib.sha256(weights).hexdigest()
    record = json.loads((BOX / "record.json").read_text())
    assert record["student"]["student.safetensors"] == digest
    card = CARD.read_text(encoding="utf-8")
    assert digest in card
    assert bundled.sha256 in card


def test_its_record_says_that_no_picture_of_a_test_was_seen() -> None:
    record = json.loads((BOX / "record.json").read_text())
    assert record["exclusion"]["digests"] > 0
    assert [source["excluded"] for source in record["pictures"]["sources"]] == [0] * len(
        record["pictures"]["sources"]
    )
