"""The small backbone in the box: there, small enough, and what its card says."""

from __future__ import annotations

import hashlib
import json
from importlib.resources import files
from pathlib import Path

import pytest
import torch

from ai_core import Backbone, load_backbone
from ai_core.pretraining.movement import CONTRASTS, token_movement
from ai_core.pretraining.pictures import read_square

SETS = ("brainmri", "busi", "cxr", "headct")
PICTURES = 8
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


@pytest.mark.parametrize("contrast", CONTRASTS)
def test_bright_lesions_move_its_tokens_as_far_as_dark_ones(
    bundled: Backbone, shared_data: Path, contrast: float
) -> None:
    """On normal pictures that no training saw, of four kinds; one kind was never seen at all."""
    splits = [shared_data / "splits" / f"{name}.json" for name in SETS]
    paths = [
        shared_data / name
        for split in splits
        for name in json.loads(split.read_text(encoding="utf-8"))["dev_normal"][:PICTURES]
    ]
    pictures = torch.stack([read_square(path).expand(3, -1, -1) for path in paths]).float() / 255
    movement = token_movement(bundled, pictures, contrast=contrast)
    assert movement.lesions > 2 * PICTURES
    assert 0.8 <= movement.ratio <= 1.25
