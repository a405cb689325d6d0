"""The names that are taken, and the reason and a neighbour's name for those that are not."""

from __future__ import annotations

from collections import Counter

import pytest
from huggingface_hub import constants
from open_clip.factory import get_model_config, list_models
from open_clip.pretrained import list_pretrained_tags_by_model

from ai_core import BackboneUnavailableError, UnsupportedBackboneError, load_backbone
from ai_core.backbone import accepted_names, recognise
from ai_core.backbone.families import nearest_accepted

REFUSED = {"ResNet": 10, "convolutions": 32, "merges patches": 1, "relative positions": 1}


def test_100_of_open_clips_144_architectures_are_taken_and_the_rest_has_reasons():
    known = list_models()
    accepted = set(accepted_names()) & set(known)
    reasons: Counter[str] = Counter()
    for name in set(known) - accepted:
        with pytest.raises(UnsupportedBackboneError) as caught:
            recognise(name, get_model_config(name))
        reasons[next(part for part in REFUSED if part in caught.value.reason)] += 1
        assert caught.value.nearest in accepted_names()
    assert (len(known), len(accepted)) == (144, 100)
    assert reasons == REFUSED


def test_the_families_of_the_accepted_names_are_these():
    found: Counter[str] = Counter()
    prompts: Counter[bool] = Counter()
    for name in set(accepted_names()) & set(list_models()):
        family = recognise(name, get_model_config(name))
        found[family.name] += 1
        prompts[family.prompts] += 1
    assert found == {
        "open_clip ViT": 56,
        "SigLIP": 28,
        "EVA": 7,
        "PE-Core": 5,
        "MobileCLIP": 2,
        "timm ViT": 2,
    }
    assert prompts == {True: 48, False: 52}


def test_radiology_models_and_dinov2_are_among_the_names():
    named = set(accepted_names())
    assert {"BiomedCLIP", "RAD-DINO", "timm/vit_base_patch14_dinov2"} <= named
    assert "timm/vit_large_patch14_reg4_dinov2" in named


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("biomed_clip", "BiomedCLIP"),
        ("hf-hub:microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224", "BiomedCLIP"),
        ("microsoft/rad-dino", "RAD-DINO"),
        ("dinov2_vitb14", "timm/vit_base_patch14_dinov2"),
        ("dinov2_vitl14", "timm/vit_large_patch14_dinov2"),
        ("ViT-B-16-SigLIP3", "ViT-B-16-SigLIP"),
        ("vit-l-14", "ViT-L-14"),
        ("RN50", "ViT-B-16"),
        ("nothing of that kind", "ViT-B-16"),
    ],
)
def test_the_nearest_name_is_one_that_was_meant(name, nearest):
    assert nearest_accepted(name) == nearest


@pytest.mark.parametrize("model", ["RN50", "convnext_base", "ViTamin-L", "MobileCLIP2-S0"])
def test_a_refused_model_is_refused_before_the_hub_is_asked(model, tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    tag = list_pretrained_tags_by_model(model)[0]
    for weights in (tag, "no-such-tag"):
        with pytest.raises(UnsupportedBackboneError, match="nearest accepted model"):
            load_backbone(model, weights, device="cpu", cache_dir=tmp_path)


@pytest.mark.parametrize(
    "model",
    ["hf-hub:microsoft/rad-dino", "RADDINO", "timm/vit_base_patch14_dinov9"],
)
def test_an_unknown_model_is_told_the_nearest_name(model, tmp_path):
    with pytest.raises(BackboneUnavailableError, match=r"no such model.*(RAD-DINO|dinov2)"):
        load_backbone(model, "openai", device="cpu", cache_dir=tmp_path)
