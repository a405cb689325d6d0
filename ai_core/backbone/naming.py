"""Parameter names of other libraries' checkpoints, brought to timm's and open_clip's."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

_TRANSFORMERS = (
    (r"^embeddings\.cls_token$", "cls_token"),
    (r"^embeddings\.register_tokens$", "register_tokens"),
    (r"^embeddings\.position_embeddings$", "pos_embed"),
    (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
    (r"^layernorm\.", "norm."),
    (r"^encoder\.layer\.(\d+)\.attention\.output\.dense\.", r"blocks.\1.attn.proj."),
    (r"^encoder\.layer\.(\d+)\.layer_scale([12])\.lambda1$", r"blocks.\1.ls\2.gamma"),
    (r"^encoder\.layer\.(\d+)\.mlp\.weights_in\.", r"blocks.\1.mlp.fc1."),
    (r"^encoder\.layer\.(\d+)\.mlp\.weights_out\.", r"blocks.\1.mlp.fc2."),
    (r"^encoder\.layer\.(\d+)\.(norm[12]|mlp)\.", r"blocks.\1.\2."),
)
_AUTHORS = (
    (r"^blocks\.\d+\.(\d+)\.", r"blocks.\1."),  # blocks in chunks, as they are trained
    (r"\.mlp\.w12\.", ".mlp.fc1."),
    (r"\.mlp\.w3\.", ".mlp.fc2."),
)
_QKV = re.compile(r"^encoder\.layer\.(\d+)\.attention\.attention\.(query|key|value)\.(.*)$")
_UNUSED = re.compile(r"^(embeddings\.)?mask_token$|^head\.")


def to_timm_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the parameters of a DINOv2 checkpoint from its authors' or transformers' names.

    Query, key and value, three layers in transformers, become one. Checkpoints with register
    tokens keep the class token's position apart; timm adds it to the token. The token that masked
    patches in training is left out, and so is a classifier. timm's own names stay.

    Args:
        state: named tensors, of one of the three.
    """
    renamed: dict[str, Tensor] = {}
    parts: dict[str, dict[str, Tensor]] = {}
    for name, tensor in state.items():
        plain = re.sub(r"^(dinov2(_with_registers)?|backbone)\.", "", name)
        if _UNUSED.search(plain):
            continue
        if found := _QKV.match(plain):
            parts.setdefault(f"blocks.{found[1]}.attn.qkv.{found[3]}", {})[found[2]] = tensor
            continue
        for pattern, ours in (*_TRANSFORMERS, *_AUTHORS):
            plain = re.sub(pattern, ours, plain)
        renamed[plain] = tensor
    for name, three in parts.items():
        renamed[name] = torch.cat([three[part] for part in ("query", "key", "value")])
    if "register_tokens" in renamed:
        positions = renamed["pos_embed"]
        renamed["reg_token"] = renamed.pop("register_tokens")
        renamed["cls_token"] = renamed["cls_token"] + positions[:, :1]
        renamed["pos_embed"] = positions[:, 1:]
    return renamed


_CLIP_MODEL = "vision_model.embeddings.patch_embedding.weight"
_CLIP_NAMES = (
    (r"^vision_model\.embeddings\.class_embedding$", "visual.class_embedding"),
    (r"^vision_model\.embeddings\.patch_embedding\.", "visual.conv1."),
    (r"^vision_model\.embeddings\.position_embedding\.weight$", "visual.positional_embedding"),
    (r"^vision_model\.pre_layrnorm\.", "visual.ln_pre."),
    (r"^vision_model\.post_layernorm\.", "visual.ln_post."),
    (r"^vision_model\.encoder\.layers\.", "visual.transformer.resblocks."),
    (r"^visual_projection\.weight$", "visual.proj"),
    (r"^text_model\.embeddings\.token_embedding\.", "token_embedding."),
    (r"^text_model\.embeddings\.position_embedding\.weight$", "positional_embedding"),
    (r"^text_model\.final_layer_norm\.", "ln_final."),
    (r"^text_model\.encoder\.layers\.", "transformer.resblocks."),
    (r"^text_projection\.weight$", "text_projection"),
    (r"\.layer_norm([12])\.", r".ln_\1."),
    (r"\.self_attn\.out_proj\.", ".attn.out_proj."),
    (r"\.mlp\.fc1\.", ".mlp.c_fc."),
    (r"\.mlp\.fc2\.", ".mlp.c_proj."),
)
_TRANSPOSED = ("visual.proj", "text_projection")
_CLIP_QKV = re.compile(r"^(.*)\.self_attn\.([qkv])_proj\.(weight|bias)$")


def to_open_clip_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the parameters of transformers' CLIPModel; other checkpoints stay as they are.

    Query, key and value, three layers in transformers, become one. The two projections are
    transposed, since open_clip multiplies from the other side. Names that CLIPModel does not have
    are kept, so that a caller can name them.

    Args:
        state: named tensors.
    """
    if _CLIP_MODEL not in state:
        return dict(state)
    renamed: dict[str, Tensor] = {}
    parts: dict[str, dict[str, Tensor]] = {}
    for name, tensor in state.items():
        if name.endswith(".position_ids"):
            continue
        if found := _CLIP_QKV.match(name):
            parts.setdefault(f"{found[1]}.attn.in_proj_{found[3]}", {})[found[2]] = tensor
            continue
        renamed[_clip_name(name)] = tensor
    for name, three in parts.items():
        if set(three) == set("qkv"):
            renamed[_clip_name(name)] = torch.cat([three[part] for part in "qkv"])
        else:
            renamed |= {f"{name} ({part})": tensor for part, tensor in three.items()}
    for name in _TRANSPOSED:
        if name in renamed:
            renamed[name] = renamed[name].T.contiguous()
    return renamed


def _clip_name(name: str) -> str:
    for pattern, ours in _CLIP_NAMES:
        name = re.sub(pattern, ours, name)
    return name
