"""Which model is built, with which activation and which colours."""

from __future__ import annotations

import json
from typing import Any

import pytest
from open_clip.transformer import QuickGELU
from torch import nn

from ai_core import DetectorError, UnsupportedBackboneError
from ai_core.backbone.architecture import (
    CLIP_MEAN,
    CLIP_STD,
    Architecture,
    build_model,
    read_architecture,
)
from tests.ai_core.conftest import TINY, config_of


def activations(model: nn.Module) -> set[type[nn.Module]]:
    return {type(m) for m in model.modules() if isinstance(m, (nn.GELU, QuickGELU))}


def read(model: str, tag: str | None) -> Architecture:
    found = read_architecture(model, tag=tag)
    assert found is not None
    return found


def test_openai_weights_bring_quick_gelu_whatever_the_model_is_called():
    assert read("ViT-L-14", "openai").config["quick_gelu"] is True
    assert read("ViT-L-14-quickgelu", "openai").config["quick_gelu"] is True


def test_weights_that_others_trained_with_quick_gelu_bring_it_too():
    assert read("ViT-L-14", "dfn2b").config["quick_gelu"] is True


def test_other_weights_and_files_keep_the_models_own_activation():
    assert not read("ViT-L-14", "laion2b_s32b_b82k").config.get("quick_gelu", False)
    assert not read("ViT-L-14", None).config.get("quick_gelu", False)


def test_a_file_gets_quick_gelu_by_the_models_name():
    assert read("ViT-L-14-quickgelu", None).config["quick_gelu"] is True


@pytest.mark.parametrize(("quick", "kind"), [(True, QuickGELU), (False, nn.GELU)])
def test_the_built_model_has_the_activation_in_both_towers(quick, kind):
    model = build_model(Architecture(name="tiny", config=config_of(quick_gelu=quick)))
    assert activations(model) == {kind}
    assert activations(model.get_submodule("visual")) == {kind}


def test_colours_are_those_of_the_weights():
    openai, laion = read("ViT-L-14", "openai"), read("ViT-L-14", "laion2b_s32b_b82k")
    assert (openai.mean, openai.std) == (CLIP_MEAN, CLIP_STD)
    assert (laion.mean, laion.std) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def test_a_slash_in_the_name_is_openais_spelling_of_the_same_model():
    assert read("ViT-L/14", "openai") == read("ViT-L-14", "openai")


def test_reading_does_not_hand_out_open_clips_own_registry():
    read("ViT-L-14", None).config["vision_cfg"]["layers"] = 1
    assert read("ViT-L-14", None).config["vision_cfg"]["layers"] == 24


def test_a_config_file_is_read_plain_or_as_the_hub_wraps_it(tmp_path):
    plain, wrapped = tmp_path / "plain.json", tmp_path / "wrapped.json"
    plain.write_text(json.dumps(TINY))
    wrapped.write_text(json.dumps({"model_cfg": TINY, "preprocess_cfg": {}}))
    assert read(str(plain), None).config == TINY
    assert read(str(wrapped), None).config == TINY
    assert read(str(plain), None).name == "plain"


@pytest.mark.parametrize("model", ["ViT-Nowhere-3", "nowhere/config.json", "hf-hub:some/one"])
def test_an_unknown_model_is_none(model):
    assert read_architecture(model, tag=None) is None


@pytest.mark.parametrize("text", ["{", "[1, 2]", "{}", '{"vision_cfg": {}, "text_cfg": {}}', '"x"'])
def test_a_file_that_is_no_config_is_told_by_its_name(tmp_path, text):
    file = tmp_path / "broken.json"
    file.write_text(text)
    with pytest.raises(DetectorError, match=r"broken\.json"):
        read_architecture(str(file), tag=None)


def test_the_tower_is_built_for_224_pixels_whatever_it_was_trained_at():
    vision = {**TINY["vision_cfg"], "image_size": 448}
    model = build_model(Architecture(name="tiny", config={**TINY, "vision_cfg": vision}))
    visual: Any = model.visual
    assert tuple(visual.grid_size) == (7, 7)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"layers": [3, 4, 6, 3]}, "ResNet"),
        ({"timm_model_name": "convnext_tiny"}, "convolutions"),
        ({"timm_model_name": "fastvit_mci0"}, "convolutions"),
        ({"timm_model_name": "vitamin_base_224"}, "convolutions"),
        ({"timm_model_name": "swin_base_patch4_window7_224"}, "merges patches"),
        ({"timm_model_name": "vit_relpos_medium_patch16_cls_224"}, "relative positions"),
        ({"timm_model_name": "vit_small"}, "no family that was tested"),
    ],
)
def test_towers_that_cannot_be_tapped_are_refused_by_name_with_the_reason(settings, why):
    config = {**TINY, "vision_cfg": {**TINY["vision_cfg"], **settings}}
    with pytest.raises(UnsupportedBackboneError, match=f"strange.*{why}.*nearest accepted"):
        build_model(Architecture(name="strange", config=config))


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"hf_model_name": "roberta-base"}, "roberta-base takes no embedded prompts"),
        ({"hf_tokenizer_name": "some/tokenizer"}, "some/tokenizer is not open_clip's own"),
    ],
)
def test_a_text_tower_that_takes_no_prompts_is_left_out(settings, why):
    architecture = Architecture("half", {**TINY, "text_cfg": {**TINY["text_cfg"], **settings}})
    assert not architecture.family.prompts
    assert why in architecture.family.describe()
    assert {name.partition(".")[0] for name in build_model(architecture).state_dict()} == {"visual"}


def test_the_published_radiology_models_are_known_by_name():
    assert read("BiomedCLIP", "microsoft").family.name == "timm ViT"
    assert read("RAD-DINO", "microsoft").family.name == "DINOv2"
    assert read("RAD-DINO", None).mean == (0.5307, 0.5307, 0.5307)


def test_a_hub_config_of_a_timm_trunk_brings_its_colours_and_is_the_model_of_that_name(tmp_path):
    known = read("BiomedCLIP", None)
    file = tmp_path / "open_clip_config.json"
    colours = {"mean": [0.4, 0.4, 0.4], "std": [0.2, 0.2, 0.2]}
    file.write_text(json.dumps({"model_cfg": known.config, "preprocess_cfg": colours}))
    found = read(str(file), None)
    assert (found.mean, found.std) == ((0.4, 0.4, 0.4), (0.2, 0.2, 0.2))
    assert found.identity == known.identity
    file.write_text(json.dumps(known.config))
    assert (read(str(file), None).mean, read(str(file), None).std) == (known.mean, known.std)


def test_the_colours_of_a_config_are_those_of_its_weights_in_every_family(tmp_path):
    file = tmp_path / "tiny.json"
    colours = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.5, 0.5]}
    file.write_text(json.dumps({"model_cfg": TINY, "preprocess_cfg": colours}))
    found = read(str(file), None)
    assert (found.mean, found.std) == ((0.5, 0.5, 0.5), (0.25, 0.5, 0.5))
    assert read(str(file), None).readings == ()


def test_a_file_of_a_known_model_may_be_what_its_tags_are():
    found = read("ViT-L-14", None).readings
    assert {(one.quick_gelu, one.mean[0] == 0.5) for one in found} == {
        (True, False),
        (False, False),
        (False, True),
    }
    assert [(one.quick_gelu, one.tags) for one in read("ViT-L-14-336", None).readings] == [
        (True, ("openai",))
    ]
    [own] = read("ViT-S-16", None).readings  # nobody has published weights of it
    assert (own.quick_gelu, own.tags) == (False, ())
    assert read("ViT-L-14", "openai").readings == ()


@pytest.mark.parametrize("colours", [{"mean": [0.5], "std": [0.5]}, {"std": [0, 0, 0]}])
def test_colours_that_are_none_are_refused(tmp_path, colours):
    file = tmp_path / "broken.json"
    vision = {"timm_model_name": "vit_small_patch14_dinov2"}
    file.write_text(json.dumps({"model_cfg": {"vision_cfg": vision}, "preprocess_cfg": colours}))
    with pytest.raises(DetectorError, match=r"broken\.json.*three values"):
        read(str(file), None)


def test_a_config_file_of_dinov2_needs_nothing_but_its_trunk(tmp_path):
    file = tmp_path / "own.json"
    file.write_text(json.dumps({"vision_cfg": {"timm_model_name": "vit_small_patch14_dinov2"}}))
    assert read(str(file), None).family.name == "DINOv2"
    assert read(str(file), None).mean == (0.485, 0.456, 0.406)


def test_of_timms_own_models_only_dinov2_is_taken():
    assert read("timm/vit_small_patch14_dinov2.lvd142m", None).name == (
        "timm/vit_small_patch14_dinov2"
    )
    assert read_architecture("timm/vit_nowhere", tag=None) is None
    for name in ("timm/vit_base_patch16_224", "timm/resnet50"):
        with pytest.raises(UnsupportedBackboneError, match=name):
            read_architecture(name, tag=None)


def test_building_leaves_the_config_as_it_was():
    config = config_of()
    build_model(Architecture(name="tiny", config=config))
    assert config == TINY
