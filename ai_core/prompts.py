"""Learnable prompts over fixed class tokens (MediCLIP Eq. 1, Table S1)."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ai_core.errors import DetectorError

NORMAL_CLASSES = (
    "normal",
    "healthy",
    "negative",
    "unremarkable",
    "clear",
    "asymptomatic",
    "normal findings",
    "no findings",
    "in good health",
    "no evidence of disease",
)
"""Class tokens of a normal image (MediCLIP Table S1)."""

ANOMALY_CLASSES = (
    "abnormal",
    "disease",
    "lesion",
    "positive",
    "symptomatic",
    "pathological",
    "impaired",
    "evidence of disease",
    "abnormal finding",
    "pathological condition",
    "pathological abnormality",
)
"""Class tokens of an anomalous image (MediCLIP Table S1)."""

_CONTEXT_STD = 0.02
_PLACEHOLDER = "x"


@dataclass(frozen=True, slots=True)
class PromptSettings:
    """How prompts are made from class tokens.

    Attributes:
        context: K, the learnable vectors of Eq. 1; 0 leaves plain words, and nothing to learn.
        per_class: every class token has vectors of its own, instead of one set that all share.
        ending: text behind each class token.
        causal: with the text tower's own causal mask; else every position sees all others, the
            empty ones behind the end of the text among them.
        unit_features: bring each prompt's feature to unit length before the mean over its group.
    """

    context: int = 8
    per_class: bool = False
    ending: str = ""
    causal: bool = True
    unit_features: bool = True


@dataclass(frozen=True, slots=True)
class TokenisedPrompts:
    """Prompts as token ids, with room for the learnable vectors.

    Attributes:
        ids: int64, shape (P, L); positions 1…K hold placeholders for the K learnable vectors.
        ends: position of each prompt's end-of-text token, int64, shape (P,).
    """

    ids: Tensor
    ends: Tensor


class TextTower:
    """The text half of an open_clip model, entered with embedded tokens instead of token ids.

    With a causal mask a position never sees later ones, so everything behind the last
    end-of-text token is cut off before the transformer. That is exact, not an approximation.
    """

    def __init__(self, model: Any) -> None:
        source = getattr(model, "text", model)
        if not hasattr(source, "token_embedding"):
            raise DetectorError("this model's text tower takes no embedded prompts")
        self._source = source
        self.context_length = int(source.context_length)
        self.width = int(source.token_embedding.weight.shape[1])

    def tokenise(self, texts: tuple[str, ...], *, context: int = 0) -> TokenisedPrompts:
        """Token ids of ``texts``, each led by ``context`` placeholder tokens.

        Args:
            texts: plain words, at least one.
            context: K, the number of learnable vectors in front of the words.
        """
        from open_clip.tokenizer import SimpleTokenizer

        lead = " ".join([_PLACEHOLDER] * context)
        tokenizer = SimpleTokenizer(context_length=self.context_length)
        ids = tokenizer([f"{lead} {text}".strip() for text in texts])
        return TokenisedPrompts(ids=ids, ends=ids.argmax(-1))

    def embed(self, prompts: TokenisedPrompts) -> Tensor:
        """Token embeddings without positions, float32, shape (P, L, width)."""
        weight: Tensor = self._source.token_embedding.weight
        return F.embedding(prompts.ids.to(weight.device), weight)

    def encode(
        self, embedded: Tensor, ends: Tensor, *, cut: bool = True, causal: bool = True
    ) -> Tensor:
        """Text features at the end-of-text positions, unnormalised, shape (P, embed_dim).

        Args:
            embedded: token embeddings, shape (P, L, width).
            ends: end-of-text positions, shape (P,).
            cut: leave out the positions behind the last end (exact under a causal mask, and only
                done under one).
            causal: use the tower's own mask, where it has one.
        """
        source = self._source
        mask = source.attn_mask if causal else None
        length = int(ends.max()) + 1 if cut and mask is not None else embedded.shape[1]
        x = embedded[:, :length] + source.positional_embedding[:length]
        x = source.transformer(x, attn_mask=None if mask is None else mask[:length, :length])
        x = source.ln_final(x)
        x = x[torch.arange(x.shape[0], device=x.device), ends.to(x.device)]
        projection = source.text_projection
        if projection is None:
            plain: Tensor = x
            return plain
        projected: Tensor = projection(x) if isinstance(projection, nn.Linear) else x @ projection
        return projected


class LearnablePrompts(nn.Module):
    """[V1]…[VK][CLS] for every class token (MediCLIP Eq. 1).

    Args:
        tower: the frozen text tower.
        settings: how prompts are made.
        generator: draws the vectors' start, normal with a standard deviation of 0.02.
        normal: class tokens of a normal image.
        anomaly: class tokens of an anomalous image.
    """

    def __init__(
        self,
        tower: TextTower,
        *,
        settings: PromptSettings,
        generator: torch.Generator,
        normal: tuple[str, ...] = NORMAL_CLASSES,
        anomaly: tuple[str, ...] = ANOMALY_CLASSES,
    ) -> None:
        super().__init__()
        words = tuple(text + settings.ending for text in normal + anomaly)
        prompts = tower.tokenise(words, context=settings.context)
        embedded = tower.embed(prompts).detach()
        self._tower = tower
        self._settings = settings
        self._normal_count = len(normal)
        sets = len(words) if settings.per_class else 1
        start = torch.randn(sets, settings.context, tower.width, generator=generator)
        self.context = nn.Parameter((start * _CONTEXT_STD).to(embedded.device))
        self._ends = prompts.ends
        self.register_buffer("_prefix", embedded[:, :1], persistent=False)
        self.register_buffer("_suffix", embedded[:, 1 + settings.context :], persistent=False)

    @property
    def learns(self) -> bool:
        """Whether there is anything to learn."""
        return self.context.numel() > 0

    def forward(self) -> Tensor:
        """The two unit vectors {normal, anomaly}, shape (2, embed_dim).

        Each is the mean of its prompts' features, brought back to unit length.
        """
        prefix, suffix = self._prefix, self._suffix
        assert isinstance(prefix, Tensor)
        assert isinstance(suffix, Tensor)
        context = self.context.expand(prefix.shape[0], -1, -1)
        embedded = torch.cat([prefix, context, suffix], dim=1)
        features = self._tower.encode(embedded, self._ends, causal=self._settings.causal)
        if self._settings.unit_features:
            features = F.normalize(features, dim=-1)
        normal, anomaly = features[: self._normal_count], features[self._normal_count :]
        return F.normalize(torch.stack([normal.mean(0), anomaly.mean(0)]), dim=-1)
