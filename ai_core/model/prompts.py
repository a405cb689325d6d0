"""Learnable prompts over fixed class tokens (MediCLIP Eq. 1, Table S1)."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ai_core.errors import DetectorError
from ai_core.model.settings import PromptSettings

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

    With a causal mask a position never sees later ones. So everything behind a prompt's
    end-of-text token is left out, and what all prompts begin with is computed once. That is
    exact but for the rounding of sums, not an approximation.
    """

    def __init__(self, model: Any) -> None:
        source = getattr(model, "text", model)
        if not hasattr(source, "token_embedding"):
            raise DetectorError("this model's text tower takes no embedded prompts")
        self._source = source
        self.context_length = int(source.context_length)
        self.width = int(source.token_embedding.weight.shape[1])
        self._packings: dict[tuple[Any, ...], _Packing] = {}

    def tokenise(self, texts: tuple[str, ...], *, context: int = 0) -> TokenisedPrompts:
        """Tokenise ``texts``, each led by ``context`` placeholder tokens.

        Args:
            texts: plain words, at least one.
            context: K, the number of learnable vectors in front of the words.
        """
        lead = " ".join([_PLACEHOLDER] * context)
        ids = _tokenizer(self.context_length)([f"{lead} {text}".strip() for text in texts])
        return TokenisedPrompts(ids=ids, ends=ids.argmax(-1))

    def embed(self, prompts: TokenisedPrompts) -> Tensor:
        """Embed tokens without positions, float32, shape (P, L, width)."""
        weight: Tensor = self._source.token_embedding.weight
        return F.embedding(prompts.ids.to(weight.device), weight)

    def encode(
        self,
        embedded: Tensor,
        ends: Tensor,
        *,
        shared: int = 0,
        cut: bool = True,
        causal: bool = True,
    ) -> Tensor:
        """Compute text features at the end-of-text positions, unnormalised, shape (P, embed_dim).

        Args:
            embedded: token embeddings, shape (P, L, width).
            ends: end-of-text positions, shape (P,).
            shared: leading positions at which all prompts are equal; they are computed once.
            cut: leave out the positions behind each end (exact under a causal mask, and only
                done under one).
            causal: use the tower's own mask, where it has one.
        """
        source = self._source
        mask = source.attn_mask if causal else None
        if not cut or mask is None:
            x = embedded + source.positional_embedding[: embedded.shape[1]]
            x = source.transformer(x, attn_mask=mask)
            whole = self._packing(ends, shared=0, length=x.shape[1], device=x.device)
            x = x.flatten(0, 1).index_select(0, whole.rows[whole.ends])
        else:
            length = embedded.shape[1]
            packing = self._packing(ends, shared=shared, length=length, device=embedded.device)
            x = embedded.flatten(0, 1).index_select(0, packing.rows)
            x = x + source.positional_embedding[packing.positions]
            x = source.transformer(x[None], attn_mask=packing.mask.to(x.dtype))
            x = x[0].index_select(0, packing.ends)
        x = source.ln_final(x)
        projection = source.text_projection
        if projection is None:
            plain: Tensor = x
            return plain
        projected: Tensor = projection(x) if isinstance(projection, nn.Linear) else x @ projection
        return projected

    def _packing(
        self, ends: Tensor, *, shared: int, length: int, device: torch.device
    ) -> "_Packing":
        """Return the packing of prompts with these ends; cached, as each step needs it."""
        key = (*ends.tolist(), shared, length, device)
        if key not in self._packings:
            self._packings[key] = _pack(ends, shared=shared, length=length, device=device)
        return self._packings[key]


@dataclass(frozen=True, slots=True)
class _Packing:
    """All prompts in one row: the shared beginning once, then what is each prompt's own.

    Attributes:
        rows: where a place is read from in (prompts * positions), int64, shape (T,).
        positions: its position in its prompt, int64, shape (T,).
        ends: the place of each prompt's end-of-text token, int64, shape (P,).
        mask: 0 where a place sees another and -inf elsewhere, float32, shape (T, T).
    """

    rows: Tensor
    positions: Tensor
    ends: Tensor
    mask: Tensor


def _pack(ends: Tensor, *, shared: int, length: int, device: torch.device) -> _Packing:
    ends = ends.cpu()
    own = [torch.arange(shared, int(end) + 1) for end in ends]
    lengths = torch.tensor([len(part) for part in own])
    # the prompt that alone sees a place; none for the shared ones, which are the first prompt's
    owners = torch.cat(
        [torch.full((shared,), -1), torch.arange(len(ends)).repeat_interleave(lengths)]
    )
    positions = torch.cat([torch.arange(shared), *own])
    seen = (owners[None] == -1) | (owners[None] == owners[:, None])
    seen &= positions[None] <= positions[:, None]
    mask = torch.zeros(seen.shape).masked_fill(~seen, float("-inf"))
    return _Packing(
        rows=(owners.clamp_min(0) * length + positions).to(device),
        positions=positions.to(device),
        ends=(shared + lengths.cumsum(0) - 1).to(device),
        mask=mask.to(device),
    )


@lru_cache(maxsize=4)
def _tokenizer(context_length: int) -> Any:
    """Return open_clip's tokenizer; cached, since it reads its whole vocabulary when made."""
    from open_clip.tokenizer import SimpleTokenizer

    return SimpleTokenizer(context_length=context_length)


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
        # the start-of-text token, and the vectors where all prompts have the same
        self._shared = 1 + (0 if settings.per_class else settings.context)
        self.register_buffer("_prefix", embedded[:, :1], persistent=False)
        self.register_buffer("_suffix", embedded[:, 1 + settings.context :], persistent=False)

    @property
    def learns(self) -> bool:
        """True if there are learnable vectors."""
        return self.context.numel() > 0

    def forward(self) -> Tensor:
        """Compute the two unit vectors {normal, anomaly}, shape (2, embed_dim).

        Each is the mean of its prompts' features, brought back to unit length.
        """
        prefix, suffix = self._prefix, self._suffix
        assert isinstance(prefix, Tensor)
        assert isinstance(suffix, Tensor)
        context = self.context.expand(prefix.shape[0], -1, -1)
        embedded = torch.cat([prefix, context, suffix], dim=1)
        features = self._tower.encode(
            embedded, self._ends, shared=self._shared, causal=self._settings.causal
        )
        if self._settings.unit_features:
            features = F.normalize(features, dim=-1)
        normal, anomaly = features[: self._normal_count], features[self._normal_count :]
        return F.normalize(torch.stack([normal.mean(0), anomaly.mean(0)]), dim=-1)
