"""Names inside open_clip and huggingface_hub that our code uses; a failure says which code."""

from typing import Any

import huggingface_hub
import huggingface_hub.errors
import open_clip.factory
import open_clip.model
import open_clip.pretrained
import open_clip.tokenizer
import open_clip.transformer
import pytest
import torch
from torch import nn

from ai_core.backbone import CLIP_MEAN, CLIP_STD, Architecture, build_model
from ai_core.backbone.untrained import untrained_config
from tests.ai_core.backbone.contracts import check_attributes, check_signature, hint

LIBRARY, HUB = "open_clip_torch", "huggingface_hub"
ARCHITECTURE = "ai_core/backbone/architecture.py"
CHECKPOINT = "ai_core/backbone/checkpoint.py"
TOWER = "ai_core/backbone/tower.py"
FAMILIES = "ai_core/backbone/families.py"
BACKBONE = "ai_core/backbone/backbone.py"
UNTRAINED = "ai_core/backbone/untrained.py"
PROMPTS = "ai_core/model/prompts.py"
TRAINER = "ai_core/fitting/trainer.py"
HUB_FILES = "ai_core/backbone/hub.py"


@pytest.fixture(scope="module")
def model() -> Any:
    return build_model(Architecture(name="contract", config=untrained_config())).eval()


@pytest.fixture(scope="module")
def quick() -> Any:
    config = {**untrained_config(), "quick_gelu": True}
    config["vision_cfg"] = {**config["vision_cfg"], "ls_init_value": 0.1}
    return build_model(Architecture(name="contract", config=config)).eval()


@pytest.mark.parametrize(
    ("function", "parameters", "used_by"),
    [
        (open_clip.factory.get_model_config, ("model_name",), ARCHITECTURE),
        (open_clip.pretrained.get_pretrained_cfg, ("model", "tag"), ARCHITECTURE),
        (open_clip.pretrained.list_pretrained_tags_by_model, ("model",), HUB_FILES),
        (open_clip.model.CLIP, ("embed_dim", "vision_cfg", "text_cfg", "quick_gelu"), ARCHITECTURE),
        (
            open_clip.model.CustomTextCLIP,
            ("embed_dim", "vision_cfg", "text_cfg", "quick_gelu"),
            ARCHITECTURE,
        ),
        (
            open_clip.model._build_vision_tower,
            ("embed_dim", "vision_cfg", "quick_gelu"),
            ARCHITECTURE,
        ),
        (open_clip.factory.list_models, (), FAMILIES),
        (open_clip.model.resize_pos_embed, ("state_dict", "model"), CHECKPOINT),
        (open_clip.model.resize_text_pos_embed, ("state_dict", "model"), CHECKPOINT),
        (open_clip.model.convert_to_custom_text_state_dict, ("state_dict",), CHECKPOINT),
        (
            open_clip.factory.load_state_dict,
            ("checkpoint_path", "device", "weights_only"),
            CHECKPOINT,
        ),
        (open_clip.transformer.VisionTransformer._pool, ("x",), TOWER),
        (open_clip.transformer.Transformer.forward, ("x", "attn_mask"), PROMPTS),
    ],
    ids=lambda value: getattr(value, "__qualname__", None),
)
def test_functions_take_what_we_give_them(function, parameters, used_by):
    check_signature(function, parameters, library=LIBRARY, used_by=used_by)


def test_the_tokenizer_pads_to_its_length_and_ends_with_the_highest_id():
    tokenizer = open_clip.tokenizer.SimpleTokenizer(context_length=12)
    ids = tokenizer(["x x normal", "no findings"])
    told = hint(LIBRARY, PROMPTS)
    assert ids.shape == (2, 12), told
    assert ids.dtype == torch.int64, told
    assert ids[:, 0].tolist() == [tokenizer.sot_token_id] * 2, told
    # a placeholder is one token, and the end of the text is found as the highest id
    assert ids.argmax(-1).tolist() == [4, 3], told
    assert int(ids.max()) == tokenizer.eot_token_id, told


def test_a_tag_says_activation_normalisation_and_place_on_the_hub():
    entry = open_clip.pretrained.get_pretrained_cfg("ViT-L-14", "openai")
    told = hint(LIBRARY, f"{ARCHITECTURE} and {HUB_FILES}")
    assert {"mean", "std", "quick_gelu", "hf_hub"} <= set(entry), told
    assert (entry["mean"], entry["std"]) == (CLIP_MEAN, CLIP_STD), told
    assert not open_clip.pretrained.get_pretrained_cfg("ViT-L-14", "no-such-tag"), told
    assert open_clip.factory.get_model_config("no-such-model") is None, told


def test_a_config_has_the_parts_that_we_read():
    config = open_clip.factory.get_model_config("ViT-L-14")
    assert {"embed_dim", "vision_cfg", "text_cfg"} <= set(config), hint(LIBRARY, ARCHITECTURE)


def test_the_vision_tower_has_the_parts_that_we_run(model):
    visual = model.visual
    parts = ("conv1.weight", "class_embedding", "positional_embedding", "ln_pre", "ln_post", "proj")
    check_attributes(visual, parts, library=LIBRARY, used_by=f"{TOWER}, {TRAINER}")
    check_attributes(visual, ("transformer.resblocks",), library=LIBRARY, used_by=TOWER)
    check_attributes(visual, ("grid_size", "output_dim"), library=LIBRARY, used_by=BACKBONE)
    assert visual.class_embedding.shape == (256,), hint(LIBRARY, TOWER)
    assert visual.positional_embedding.shape == (257, 256), hint(LIBRARY, TOWER)
    pooled, tokens = visual._pool(torch.zeros(2, 257, 256))
    assert (pooled.shape, tokens.shape) == ((2, 256), (2, 256, 256)), hint(LIBRARY, TOWER)


def test_a_block_has_the_parts_that_we_fuse(model, quick):
    told = hint(LIBRARY, TOWER)
    parts = ("ln_1", "ln_2", "ls_1", "ls_2", "mlp.c_fc", "mlp.gelu", "mlp.c_proj")
    attention = (
        "in_proj_weight",
        "in_proj_bias",
        "num_heads",
        "head_dim",
        "out_proj.weight",
    )
    for tower in (model.visual, quick.visual):
        for block in tower.transformer.resblocks:
            check_attributes(block, parts, library=LIBRARY, used_by=TOWER)
            check_attributes(block.attn, attention, library=LIBRARY, used_by=TOWER)
            assert isinstance(block.attn, nn.MultiheadAttention), told
            assert isinstance(block.ln_1, nn.LayerNorm), told
    block = quick.visual.transformer.resblocks[0]
    assert isinstance(block.mlp.gelu, open_clip.transformer.QuickGELU), told
    assert isinstance(block.ls_1, open_clip.transformer.LayerScale), told
    assert block.ls_1.gamma.shape == (256,), told


def test_quick_gelu_is_the_function_that_we_fuse():
    x = torch.linspace(-4, 4, 33)
    found = open_clip.transformer.QuickGELU()(x)
    torch.testing.assert_close(found, x * torch.sigmoid(1.702 * x), msg=hint(LIBRARY, TOWER))


@pytest.mark.parametrize("custom", [False, True])
def test_the_text_tower_has_the_parts_that_we_enter(custom):
    config = {**untrained_config(), "custom_text": custom}
    built: Any = build_model(Architecture(name="contract", config=config))
    tower = getattr(built, "text", built)
    parts = (
        "token_embedding.weight",
        "context_length",
        "positional_embedding",
        "attn_mask",
        "transformer",
        "ln_final",
        "text_projection",
    )
    check_attributes(tower, parts, library=LIBRARY, used_by=PROMPTS)
    assert hasattr(built, "text") is custom, hint(LIBRARY, f"{PROMPTS} and {CHECKPOINT}")
    assert tower.attn_mask.shape == (77, 77), hint(LIBRARY, PROMPTS)
    # batch first: prompts in one row are a batch of one
    x = torch.zeros(1, 5, 64)
    assert tower.transformer(x, attn_mask=torch.zeros(5, 5)).shape == (1, 5, 64), hint(
        LIBRARY, PROMPTS
    )


def test_parameters_have_the_names_by_which_they_are_drawn(model):
    names = {name for name, _ in model.named_parameters()}
    drawn = {
        "logit_scale",
        "positional_embedding",
        "text_projection",
        "token_embedding.weight",
        "visual.conv1.weight",
        "visual.proj",
        "visual.transformer.resblocks.0.mlp.c_fc.bias",
        "visual.transformer.resblocks.0.ln_1.weight",
    }
    assert drawn <= names, hint(LIBRARY, f"{UNTRAINED} and {CHECKPOINT}")


def test_the_hub_client_is_as_we_ask_it():
    check_signature(
        huggingface_hub.try_to_load_from_cache,
        ("repo_id", "filename", "cache_dir"),
        library=HUB,
        used_by=HUB_FILES,
    )
    check_attributes(
        huggingface_hub.constants,
        ("HF_HUB_CACHE", "HF_HUB_OFFLINE", "ENDPOINT"),
        library=HUB,
        used_by=HUB_FILES,
    )
    check_attributes(
        huggingface_hub.errors,
        ("EntryNotFoundError", "HfHubHTTPError"),
        library=HUB,
        used_by=HUB_FILES,
    )
    assert callable(huggingface_hub.hf_hub_download)
