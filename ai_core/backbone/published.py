"""Published radiology backbones that open_clip's registry does not name: configs and places."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Published:
    """A published model.

    Attributes:
        config: as open_clip's JSON files.
        mean: per-channel mean of its images, for values in [0, 1].
        std: per-channel standard deviation, likewise.
        tag: name of its weights in the settings.
        repository: its place on the model hub.
        files: names of the weights there, the first that exists is taken.
    """

    config: dict[str, Any]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    tag: str
    repository: str
    files: tuple[str, ...]


PUBLISHED = {
    "BiomedCLIP": Published(
        config={
            "embed_dim": 512,
            "vision_cfg": {
                "timm_model_name": "vit_base_patch16_224",
                "timm_model_pretrained": False,
                "timm_pool": "",
                "timm_proj": "linear",
                "image_size": 224,
            },
            "text_cfg": {
                "hf_model_name": "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract",
                "hf_tokenizer_name": "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract",
                "hf_proj_type": "mlp",
                "hf_pooler_type": "cls_last_hidden_state_pooler",
                "context_length": 256,
            },
        },
        mean=(0.48145466, 0.4578275, 0.40821073),
        std=(0.26862954, 0.26130258, 0.27577711),
        tag="microsoft",
        repository="microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224",
        files=("open_clip_pytorch_model.bin",),
    ),
    "RAD-DINO": Published(
        config={
            "embed_dim": 768,
            "vision_cfg": {"timm_model_name": "vit_base_patch14_dinov2", "image_size": 224},
            "text_cfg": None,
        },
        mean=(0.5307, 0.5307, 0.5307),
        std=(0.2583, 0.2583, 0.2583),
        tag="microsoft",
        repository="microsoft/rad-dino",
        files=("model.safetensors",),
    ),
}
"""Models by the name that the settings take."""
