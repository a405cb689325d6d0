"""Learnable prompts and the text tower behind them, held against open_clip's own."""

from __future__ import annotations

import copy
from typing import Any

import open_clip
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ai_core import DetectorError
from ai_core.model import PromptSettings
from ai_core.model.prompts import (
    ANOMALY_CLASSES,
    NORMAL_CLASSES,
    LearnablePrompts,
    TextTower,
)
from tests.ai_core.conftest import config_of, random_model, seeded

WORDS = ("normal", "no evidence of disease", "a radiograph with a large, round lesion")

CONFIGS: dict[str, dict[str, Any]] = {
    "CLIP": config_of(),
    "CustomTextCLIP": config_of(custom_text=True),
    "projection with bias": config_of(custom_text=True, text={"proj_bias": True}),
    "no projection": config_of(custom_text=True, text={"proj_type": "none"}),
    "no causal mask": config_of(custom_text=True, text={"no_causal_mask": True}),
    "short context": config_of(text={"context_length": 32}),
}


@pytest.fixture(scope="module", params=CONFIGS)
def model(request) -> Any:
    return frozen(CONFIGS[request.param])


@pytest.fixture(scope="module")
def clip() -> Any:
    return frozen(CONFIGS["CLIP"])


def frozen(config: dict[str, Any]) -> Any:
    return random_model(config).requires_grad_(False)


def open_clips_own(model: Any, texts: tuple[str, ...]) -> torch.Tensor:
    length = int(getattr(model, "text", model).context_length)
    ids = open_clip.tokenizer.SimpleTokenizer(context_length=length)(list(texts))
    features: torch.Tensor = model.encode_text(ids)
    return features


def test_plain_words_are_encoded_as_open_clip_does(model):
    tower = TextTower(model)
    prompts = tower.tokenise(WORDS)
    features = tower.encode(tower.embed(prompts), prompts.ends)
    expected = open_clips_own(model, WORDS)
    assert features.shape == (3, 32)
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(features[0], features[1], atol=1e-2)


def test_what_lies_behind_the_last_end_may_be_cut_under_a_causal_mask(clip):
    tower = TextTower(clip)
    prompts = tower.tokenise(WORDS)
    embedded = tower.embed(prompts)
    assert embedded.shape == (3, 77, 32)
    whole = tower.encode(embedded, prompts.ends, cut=False)
    cut = tower.encode(embedded, prompts.ends, cut=True)
    torch.testing.assert_close(cut, whole, rtol=1e-5, atol=1e-6)


def test_nothing_is_cut_where_every_position_sees_every_other():
    tower = TextTower(frozen(CONFIGS["no causal mask"]))
    prompts = tower.tokenise(WORDS)
    embedded = tower.embed(prompts)
    whole = tower.encode(embedded, prompts.ends, cut=False)
    torch.testing.assert_close(tower.encode(embedded, prompts.ends), whole, rtol=0, atol=0)
    last = int(prompts.ends.max()) + 1
    cut_by_hand = tower.encode(embedded[:, :last], prompts.ends, cut=False)
    assert not torch.allclose(cut_by_hand, whole, atol=1e-2)


def test_tokens_leave_room_for_the_vectors_and_say_where_the_text_ends(clip):
    prompts = TextTower(clip).tokenise(("healthy", "no findings"), context=3)
    plain = TextTower(clip).tokenise(("healthy", "no findings"))
    assert torch.equal(prompts.ends, plain.ends + 3)
    assert torch.equal(prompts.ids[:, 0], plain.ids[:, 0])
    for row in (0, 1):
        words = slice(4, int(prompts.ends[row]) + 1)
        assert torch.equal(prompts.ids[row, words], plain.ids[row, 1 : int(plain.ends[row]) + 1])


def test_a_text_tower_without_token_embeddings_is_refused():
    with pytest.raises(DetectorError, match="takes no embedded prompts"):
        TextTower(nn.Linear(2, 2))


def learnable(model, *, seed: int = 0, normal=NORMAL_CLASSES, anomaly=ANOMALY_CLASSES, **settings):
    return LearnablePrompts(
        TextTower(model),
        settings=PromptSettings(**settings),
        generator=seeded(seed),
        normal=normal,
        anomaly=anomaly,
    )


def test_without_vectors_the_prompts_are_the_mean_directions_of_the_plain_words(clip):
    vectors = LearnablePrompts(
        TextTower(clip), settings=PromptSettings(context=0), generator=seeded(0)
    )()
    for vector, words in zip(vectors, (NORMAL_CLASSES, ANOMALY_CLASSES), strict=True):
        directions = F.normalize(open_clips_own(clip, words), dim=-1)
        expected = F.normalize(directions.mean(0), dim=0)
        torch.testing.assert_close(vector, expected, rtol=1e-4, atol=1e-5)


def test_vectors_stand_between_the_start_and_the_words(clip):
    prompts = LearnablePrompts(
        TextTower(clip),
        settings=PromptSettings(context=2),
        generator=seeded(0),
        normal=("healthy",),
        anomaly=("lesion",),
    )
    letters = open_clip.tokenizer.SimpleTokenizer()(["k m"])[0, 1:3]
    with torch.no_grad():
        prompts.context.copy_(clip.token_embedding.weight[letters])
        vectors = prompts()
    expected = F.normalize(open_clips_own(clip, ("k m healthy", "k m lesion")), dim=-1)
    torch.testing.assert_close(vectors, expected, rtol=1e-4, atol=1e-5)


def test_the_two_vectors_have_unit_length_and_differ(clip):
    vectors = LearnablePrompts(
        TextTower(clip), settings=PromptSettings(context=8), generator=seeded(0)
    )().detach()
    assert vectors.shape == (2, 32)
    torch.testing.assert_close(vectors.norm(dim=-1), torch.ones(2), rtol=0, atol=1e-5)
    assert float(vectors[0] @ vectors[1]) < 0.999


def test_the_gradient_reaches_every_vector_of_the_context_and_nothing_else(clip):
    prompts = LearnablePrompts(
        TextTower(clip), settings=PromptSettings(context=4), generator=seeded(0)
    )
    assert [name for name, _ in prompts.named_parameters()] == ["context"]
    (prompts()[1] * torch.arange(32.0)).sum().backward()
    assert prompts.context.grad is not None
    assert bool((prompts.context.grad.abs().amax(-1) > 0).all())
    assert all(parameter.grad is None for parameter in clip.parameters())


def test_the_start_is_drawn_from_the_generator_and_small(clip):
    tower = TextTower(clip)
    first, again, other = (
        LearnablePrompts(tower, settings=PromptSettings(context=64), generator=seeded(seed)).context
        for seed in (3, 3, 4)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert float(first.detach().std()) == pytest.approx(0.02, rel=0.1)


def test_the_class_tokens_are_those_of_table_s1():
    assert (len(NORMAL_CLASSES), len(ANOMALY_CLASSES)) == (10, 11)
    assert not set(NORMAL_CLASSES) & set(ANOMALY_CLASSES)


def test_without_the_causal_mask_all_positions_are_seen_and_raw_features_are_averaged(clip):
    unmasked = copy.deepcopy(clip)
    unmasked.attn_mask = None
    vectors = learnable(clip, context=0, ending=".", causal=False, unit_features=False)()
    for vector, words in zip(vectors, (NORMAL_CLASSES, ANOMALY_CLASSES), strict=True):
        raw = open_clips_own(unmasked, tuple(f"{word}." for word in words))
        torch.testing.assert_close(vector, F.normalize(raw.mean(0), dim=-1), rtol=1e-4, atol=1e-5)
    masked = learnable(clip, context=0, ending=".", unit_features=False)()
    assert float((vectors - masked).detach().abs().max()) > 1e-3


def test_each_class_token_may_have_vectors_of_its_own(clip):
    prompts = learnable(clip, context=3, per_class=True)
    assert prompts.context.shape == (len(NORMAL_CLASSES) + len(ANOMALY_CLASSES), 3, 32)
    prompts()[0].sum().backward()
    assert prompts.context.grad is not None
    moved = prompts.context.grad.abs().amax((1, 2)) > 0
    assert moved.tolist() == [True] * len(NORMAL_CLASSES) + [False] * len(ANOMALY_CLASSES)
