"""The real student: small enough for the box, tapped where the paper taps, text from a seed."""

from __future__ import annotations

import json

import pytest
import torch
from open_clip.model import CLIP
from open_clip.tokenizer import tokenize
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from ai_core import Backbone, BackboneUnavailableError, load_backbone
from ai_core.pretraining import student_config
from ai_core.pretraining.student import build_student, save_student, student_blocks
from tests.ai_core.conftest import textured


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("student")
    visual = build_student(student_config(), seed=1)
    save_student(folder, dict(visual.named_parameters()), student_config())
    return folder


@pytest.fixture(scope="module")
def student(folder) -> Backbone:
    return load_backbone(
        str(folder / "student.json"), str(folder / "student.safetensors"), device="cpu"
    )


def test_the_file_holds_five_to_six_million_numbers_in_at_most_12_mb(folder):
    file = folder / "student.safetensors"
    assert file.stat().st_size <= 12_000_000
    tensors = load_file(file)
    assert 5e6 <= sum(value.numel() for value in tensors.values()) <= 6e6
    assert {value.dtype for value in tensors.values()} == {torch.float16}
    assert all(name.startswith("visual.") for name in tensors)


def test_it_is_tapped_at_half_three_quarters_and_all_of_its_depth(student):
    depth = len(student.model.visual.transformer.resblocks)
    assert student.blocks == student_blocks(student.model.visual)
    assert [block / depth for block in student.blocks] == [0.5, 0.75, 1.0]
    tokens = student.encode(textured(1, seed=1)).tokens
    assert tokens.shape == (1, 3, 256, 320)


def test_the_weights_come_back_as_they_were_but_for_float16(student):
    visual = build_student(student_config(), seed=1)
    loaded = dict(student.model.visual.named_parameters())
    for name, value in visual.named_parameters():
        assert torch.equal(loaded[name], value.detach().half().float()), name


def test_the_text_tower_is_the_same_on_every_load(folder, student):
    torch.manual_seed(99)
    again = load_backbone(
        str(folder / "student.json"), str(folder / "student.safetensors"), device="cpu"
    )
    assert again.sha256 == student.sha256
    text = tokenize(["a normal image", "an anomaly"])
    first, second = (model.encode_text(text) for model in (student.model, again.model))
    assert torch.equal(first, second)
    assert not torch.allclose(first[0], first[1], atol=1e-3)


def test_open_clip_itself_knows_the_config(folder):
    config = json.loads((folder / "student.json").read_text())
    built = CLIP(**config)
    with safe_open(folder / "student.safetensors", framework="pt") as opened:
        stored = set(opened.keys())
    assert stored == {name for name in built.state_dict() if name.startswith("visual.")}


@pytest.mark.parametrize("metadata", [None, {"seeded_text": "many"}])
def test_without_a_seed_a_vision_tower_alone_is_no_backbone(folder, tmp_path, metadata):
    file = tmp_path / "alone.safetensors"
    save_file(load_file(folder / "student.safetensors"), file, metadata=metadata)
    with pytest.raises(BackboneUnavailableError, match="does not hold this model"):
        load_backbone(str(folder / "student.json"), str(file), device="cpu")
