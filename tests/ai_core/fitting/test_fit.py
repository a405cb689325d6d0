"""The fine-tune: it learns, it averages as told, and it says how far it is."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ai_core import DEFAULT, PAPER, FitProgress, Preset
from ai_core.fitting.fit import make_pool, train_on_pool, train_on_stream
from ai_core.fitting.pool import Pool
from ai_core.fitting.support import Support, prepare_support
from ai_core.model import Head, PromptSettings
from tests.ai_core.conftest import quicker, seeded

PRESET = quicker(DEFAULT, pool_images=16, updates=4, batch=8, loss_side=28)


@pytest.fixture(scope="module")
def prepared(tiny_backbone, support) -> Support:
    return prepare_support(support, groups=range(6), backbone=tiny_backbone)


@pytest.fixture(scope="module")
def tokens(prepared):
    return prepared.encoded.tokens


@pytest.fixture(scope="module")
def pool(tiny_backbone, prepared) -> Pool:
    made = make_pool(prepared, backbone=tiny_backbone, preset=PRESET, generator=seeded(1))
    assert made is not None
    return made


@pytest.fixture(scope="module")
def train(pool, prepared, tiny_backbone):
    def run(*, preset: Preset = PRESET, seed: int = 2, progress=lambda _: None, **training) -> Head:
        return train_on_pool(
            pool,
            support=prepared,
            backbone=tiny_backbone,
            preset=quicker(preset, **training),
            generator=seeded(seed),
            progress=progress,
        )

    return run


@pytest.fixture(scope="module")
def stream(prepared, tiny_backbone):
    def run(*, seed: int = 2, progress=lambda _: None, **training) -> Head:
        settings = {"epochs": 2, "batch": 4, "loss_side": 28} | training
        return train_on_stream(
            prepared,
            backbone=tiny_backbone,
            preset=quicker(PAPER, **settings),
            generator=seeded(seed),
            progress=progress,
        )

    return run


def weights(head: Head) -> dict[str, torch.Tensor]:
    return {**head.adapters.state_dict(), "text": head.text}


def same(first: Head, second: Head) -> bool:
    pairs = zip(weights(first).values(), weights(second).values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_encoding_in_batches_is_encoding_at_once(tiny_backbone, support, tokens):
    many = torch.cat([support, support.flip(0)])
    assert len(many) > tiny_backbone.batch_size
    found = prepare_support(many, groups=range(12), backbone=tiny_backbone).encoded.tokens
    assert found.shape == (12, 3, 49, 64)
    torch.testing.assert_close(found[:6], tokens, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found[6:], tokens.flip(0), rtol=1e-5, atol=1e-5)


def test_a_pool_has_as_many_images_as_the_preset_says_from_all_support_images(pool):
    assert len(pool) == 16
    assert pool.labels.shape == (16, 28, 28)


def test_a_small_pool_still_has_an_image_of_each_support_image(tiny_backbone, prepared):
    preset = quicker(PRESET, pool_images=2)
    pool = make_pool(prepared, backbone=tiny_backbone, preset=preset, generator=seeded(1))
    assert pool is not None
    assert sorted(pool.groups.tolist()) == prepared.groups.tolist()


def test_making_a_pool_tells_how_far_it_is(tiny_backbone, prepared):
    told: list[FitProgress] = []
    make_pool(
        prepared,
        backbone=tiny_backbone,
        preset=quicker(PRESET, pool_images=20),
        generator=seeded(1),
        progress=told.append,
    )
    assert [(state.stage, state.step, state.steps) for state in told] == [
        ("encode", 8, 20), ("encode", 16, 20), ("encode", 20, 20),
    ]  # fmt: skip
    assert {state.loss for state in told} == {None}


def test_training_lowers_the_loss(train):
    told: list[FitProgress] = []
    train(updates=60, batch=16, learning_rate=1e-2, progress=told.append)
    assert [state.step for state in told] == [10, 20, 30, 40, 50, 60]
    assert {(state.stage, state.steps) for state in told} == {("train", 60)}
    assert told[-1].loss is not None
    assert told[0].loss is not None
    assert told[-1].loss < 0.95 * told[0].loss


def test_the_last_update_is_told_whatever_its_number(train):
    told: list[FitProgress] = []
    train(updates=13, progress=told.append)
    assert [state.step for state in told] == [10, 13]


def test_one_seed_gives_the_same_weights_and_another_others(train):
    first = train()
    assert same(first, train())
    other = train(seed=3)
    assert not torch.equal(first.adapters.weight, other.adapters.weight)
    assert not torch.equal(first.text, other.text)


def test_adapters_and_prompts_both_learn(train):
    one, two = (train(updates=n, average_last=0.0, prompts_every=1) for n in (1, 2))
    assert not torch.equal(one.adapters.weight, two.adapters.weight)
    assert not torch.equal(one.adapters.bias, two.adapters.bias)
    assert not torch.equal(one.text, two.text)


def test_prompts_that_learn_at_every_second_update_stay_between(train):
    one, two, three = (
        train(updates=updates, average_last=0.0, prompts_every=2).text for updates in (1, 2, 3)
    )
    assert torch.equal(one, two)
    assert not torch.equal(two, three)


def test_plain_words_on_the_towers_own_projection_leave_nothing_to_learn(train, tiny_backbone):
    preset = replace(PRESET, adapter=False, prompts=PromptSettings(context=0))
    told: list[FitProgress] = []
    head = train(preset=preset, progress=told.append)
    assert told == []
    assert same(head, train(preset=preset, seed=9))
    tokens = torch.randn(2, 3, 49, 64, generator=seeded(4))
    visual = tiny_backbone.model.visual
    expected = visual.ln_post(tokens) @ visual.proj
    torch.testing.assert_close(head.adapters(tokens), expected)


def test_prompts_alone_learn_on_the_towers_own_projection(train):
    preset = replace(PRESET, adapter=False)
    # at every update, however seldom they learn beside adapters
    one, two = (train(preset=preset, updates=n, average_last=0.0, prompts_every=3) for n in (1, 2))
    assert not torch.equal(one.text, two.text)
    assert torch.equal(one.adapters.projection, two.adapters.projection)


def test_a_head_takes_no_gradient_and_its_text_has_unit_length(train):
    head = train()
    assert not head.text.requires_grad
    assert not any(parameter.requires_grad for parameter in head.adapters.parameters())
    torch.testing.assert_close(head.text.norm(dim=-1), torch.ones(2))


def test_averaged_weights_are_the_mean_over_the_last_updates(train):
    one, two = (train(updates=updates, average_last=0.0).adapters for updates in (1, 2))
    mean = train(updates=2, average_last=1.0).adapters
    torch.testing.assert_close(mean.weight, (one.weight + two.weight) / 2)
    torch.testing.assert_close(mean.bias, (one.bias + two.bias) / 2)


def test_an_average_over_the_last_update_alone_is_the_last_weights(train):
    assert same(train(updates=4, average_last=0.25), train(updates=4, average_last=0.0))


def test_standardisation_uses_the_clean_support_set(train, tokens):
    adapters = train(standardise=True).adapters
    torch.testing.assert_close(adapters.shift[:, 0], tokens.mean((0, 2)), rtol=1e-4, atol=1e-5)
    plain = train(standardise=False).adapters
    assert not bool(plain.shift.any())
    assert bool((plain.scale == 1).all())


def test_a_stream_sees_every_image_once_an_epoch(stream):
    told: list[FitProgress] = []
    stream(progress=told.append)
    # 2 epochs of 6 images in batches of 4 and 2
    assert [(state.step, state.steps) for state in told] == [(4, 4)]
    assert told[-1].loss is not None


def test_a_stream_longer_than_what_is_held_at_once_is_trained_to_its_end(stream):
    told: list[FitProgress] = []
    stream(epochs=12, batch=8, progress=told.append)
    # 10 epochs of 6 images are held at once, each of them one batch
    assert [(state.step, state.steps) for state in told] == [(10, 12), (12, 12)]


def test_one_seed_gives_the_same_stream(stream):
    first = stream()
    assert same(first, stream())
    assert not same(first, stream(seed=3))


def test_a_stream_averages_its_last_updates_too(stream):
    last = stream(epochs=2, batch=4, average_last=0.0)
    assert same(stream(average_last=0.34), last)
    assert not same(stream(average_last=1.0), last)


def test_the_backbone_is_left_as_it_was(train, tiny_backbone, tiny):
    train()
    for name, value in tiny.model.state_dict().items():
        assert torch.equal(tiny_backbone.model.state_dict()[name], value), name
    assert all(parameter.grad is None for parameter in tiny_backbone.model.parameters())
