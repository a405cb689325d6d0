"""Names inside timm that our code uses; a failure says which code."""

from typing import Any

import pytest
import timm
import timm.layers.pos_embed
import torch
from open_clip.timm_model import TimmModel
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer

from tests.ai_core.backbone.contracts import check_attributes, check_signature, hint

LIBRARY = "timm"
TOWER = "ai_core/backbone/timm_tower.py"
FAMILIES = "ai_core/backbone/families.py"
CHECKPOINT = "ai_core/backbone/checkpoint.py"
HUB_FILES = "ai_core/backbone/hub.py"

SMALLEST = {VisionTransformer: "vit_tiny_patch16_224", Eva: "vit_pe_core_tiny_patch16_384"}


@pytest.mark.parametrize("kind", SMALLEST)
def test_a_trunk_has_the_parts_and_functions_that_we_use(kind):
    name = SMALLEST[kind]
    trunk: Any = timm.create_model(name, pretrained=False, num_classes=0, depth=2).eval()
    told = hint(LIBRARY, TOWER)
    assert isinstance(trunk, kind), told
    parts = ("blocks", "embed_dim", "pos_embed", "num_prefix_tokens", "no_embed_class")
    check_attributes(trunk, parts, library=LIBRARY, used_by=f"{TOWER} and {CHECKPOINT}")
    check_attributes(
        trunk, ("patch_embed.img_size", "patch_embed.grid_size"), library=LIBRARY, used_by=TOWER
    )
    images = torch.zeros(1, 3, *trunk.patch_embed.img_size)
    cells = trunk.patch_embed.grid_size[0] ** 2
    with torch.no_grad():
        final, taken = trunk.forward_intermediates(
            images, indices=[0, 1], norm=False, output_fmt="NLC"
        )
        pooled = trunk.forward_head(final)
        torch.testing.assert_close(pooled, trunk(images), msg=told)
    assert [part.shape for part in taken] == [(1, cells, trunk.embed_dim)] * 2, told


def test_open_clips_wrapper_is_a_trunk_and_a_head():
    wrapped = TimmModel("vit_tiny_patch16_224", 8, pool="", proj="linear")
    check_attributes(wrapped, ("trunk.blocks", "head"), library="open_clip_torch", used_by=TOWER)


def test_the_registry_is_as_we_ask_it():
    told = hint(LIBRARY, f"{FAMILIES} and {HUB_FILES}")
    assert timm.is_model("vit_base_patch14_dinov2"), told
    assert not timm.is_model("vit_nowhere"), told
    assert "vit_base_patch14_reg4_dinov2" in timm.list_models("vit_*_patch14*dinov2"), told
    assert timm.list_pretrained("vit_base_patch14_dinov2.*") == ["vit_base_patch14_dinov2.lvd142m"]
    entry = timm.get_pretrained_cfg("vit_base_patch14_dinov2", allow_unregistered=False)
    assert entry is not None, told
    assert entry.mean == (0.485, 0.456, 0.406), told
    assert entry.hf_hub_id == "timm/vit_base_patch14_dinov2.lvd142m", told


def test_positions_are_resampled_by_the_function_that_we_know():
    check_signature(
        timm.layers.pos_embed.resample_abs_pos_embed,
        ("posemb", "new_size", "old_size", "num_prefix_tokens"),
        library=LIBRARY,
        used_by=CHECKPOINT,
    )
