"""Packing all prompts into one row changes the time and nothing else."""

import pytest
import torch

from ai_core import load_backbone
from ai_core.model import PromptSettings
from ai_core.model.prompts import LearnablePrompts, TextTower


@pytest.fixture(scope="module")
def tower():
    return TextTower(load_backbone("untrained", "untrained", device="cpu").model)


def prompts(tower, context):
    return LearnablePrompts(
        tower,
        settings=PromptSettings(context=context),
        generator=torch.Generator().manual_seed(0),
    )


@pytest.mark.parametrize("context", [0, 1, 8])
def test_features_and_gradients_are_those_of_whole_prompts(tower, context, monkeypatch):
    learnt = prompts(tower, context)
    weight = torch.randn(learnt().shape, generator=torch.Generator().manual_seed(1))
    packed = learnt()
    (packed * weight).sum().backward() if context else None
    gradient = learnt.context.grad
    learnt.context.grad = None

    encode = tower.encode
    monkeypatch.setattr(tower, "encode", lambda x, ends, **_: encode(x, ends, cut=False))
    whole = learnt()
    torch.testing.assert_close(packed, whole, rtol=1e-5, atol=1e-6)
    if context:
        (whole * weight).sum().backward()
        torch.testing.assert_close(gradient, learnt.context.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("shared", [0, 1, 3])
def test_any_shared_beginning_gives_the_same_features(tower, shared):
    given = tower.tokenise(("healthy", "no evidence of disease", "lesion"), context=2)
    embedded = tower.embed(given)
    whole = tower.encode(embedded, given.ends, cut=False)
    found = tower.encode(embedded, given.ends, shared=shared)
    torch.testing.assert_close(found, whole, rtol=1e-5, atol=1e-5)


def test_a_prompt_does_not_see_its_neighbours(tower):
    alone = tower.tokenise(("healthy",), context=2)
    among = tower.tokenise(("lesion", "healthy", "no findings"), context=2)
    first = tower.encode(tower.embed(alone), alone.ends, shared=3)
    second = tower.encode(tower.embed(among), among.ends, shared=3)
    torch.testing.assert_close(first[0], second[1], rtol=1e-5, atol=1e-5)
