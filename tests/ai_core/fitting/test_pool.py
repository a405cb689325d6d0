"""The pool of synthetic features: seeded, balanced, and free of traces between folds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ai_core.backbone.backbone import Backbone
from ai_core.fitting import pool as pool_module
from ai_core.fitting.pool import Pool, build_pool, support_order
from ai_core.fitting.support import prepare_support
from ai_core.synthesis import SynthesisSettings
from tests.ai_core.conftest import seeded, textured

SETTINGS = SynthesisSettings()
FOLDS = torch.tensor([0, 1, 0, 1, 0, 1])
GROUPS = (0, 1, 2, 3, 4, 5)
ORDER = torch.tensor([0, 1, 2, 3, 4, 5, 0, 1, 2, 3])


@pytest.fixture(scope="module")
def make(tiny_backbone, support):
    def build(generator: torch.Generator, *, images: Tensor = support, **changes) -> Pool:
        arguments = {
            "order": ORDER,
            "folds": FOLDS,
            "backbone": tiny_backbone,
            "settings": SETTINGS,
            "label_side": 28,
            "described": True,
        } | changes
        prepared = prepare_support(images, groups=GROUPS, backbone=tiny_backbone)
        return build_pool(prepared, generator=generator, **arguments)

    return build


def same(first: Pool, second: Pool) -> bool:
    return torch.equal(first.tokens, second.tokens) and torch.equal(first.labels, second.labels)


def is_mapped_from_a_file(tensor: Tensor) -> bool:
    for line in Path("/proc/self/maps").read_text().splitlines():
        places, _, _, _, inode, *_ = line.split()
        low, high = (int(place, 16) for place in places.split("-"))
        if low <= tensor.data_ptr() < high:
            return inode != "0"
    raise AssertionError("the tensor lies in no mapping")


def test_one_seed_gives_the_same_bytes_and_the_next_draw_another_pool(make):
    generator = seeded(1)
    first, again, following = make(generator), make(seeded(1)), make(generator)
    assert same(first, again)
    assert not torch.equal(first.tokens, following.tokens)
    assert not torch.equal(first.labels, following.labels)
    assert not same(first, make(seeded(2)))


def test_a_pool_holds_a_line_for_every_entry_of_the_order(make):
    pool = make(seeded(1))
    assert len(pool) == len(ORDER)
    assert pool.tokens.shape == (10, 3, 49, 64)
    assert pool.labels.shape == (10, 28, 28)
    assert pool.tokens.dtype == pool.labels.dtype == torch.float16
    assert pool.facts is not None
    assert pool.facts.embedding.shape == (10, 32)
    assert torch.equal(pool.folds, FOLDS[ORDER])
    assert torch.equal(pool.groups, torch.tensor(GROUPS)[ORDER])


def test_a_global_seed_changes_nothing_and_is_not_changed(make):
    with torch.random.fork_rng():
        torch.manual_seed(3)
        before = torch.random.get_rng_state()
        pool = make(seeded(1))
        assert torch.equal(torch.random.get_rng_state(), before)
    assert same(pool, make(seeded(1)))


def test_untouched_images_have_the_frozen_towers_tokens_and_empty_labels(
    make, support, tiny_backbone, monkeypatch
):
    encoded = tiny_backbone.encode(support)
    times: list[int] = []
    encode = Backbone.encode

    def counted(backbone, images):
        times.append(len(images))
        return encode(backbone, images)

    monkeypatch.setattr(Backbone, "encode", counted)
    pool = make(seeded(1), settings=replace(SETTINGS, tasks=("identity",)))
    assert times == [len(support)], "the support set alone passes the tower"
    torch.testing.assert_close(pool.tokens.float(), encoded.tokens[ORDER], rtol=2e-3, atol=2e-3)
    assert pool.facts is not None
    torch.testing.assert_close(pool.facts.embedding, encoded.embedding[ORDER].cpu())
    assert not bool(pool.labels.any())


def test_changed_images_have_features_of_their_own(make, support, tiny_backbone):
    pool = make(seeded(1), settings=replace(SETTINGS, tasks=("intensity",)))
    normal = tiny_backbone.encode(support[ORDER])
    assert bool(pool.labels.flatten(1).any(dim=1).all())
    assert pool.facts is not None
    alike = torch.isclose(pool.facts.embedding, normal.embedding.cpu()).all(dim=1)
    assert not bool(alike.any())


def test_labels_are_shares_of_anomalous_pixels(make):
    fine, coarse = (make(seeded(1), label_side=side).labels.float() for side in (224, 28))
    assert set(fine.unique().tolist()) == {0.0, 1.0}
    expected = fine.view(10, 28, 8, 28, 8).mean((2, 4))
    torch.testing.assert_close(coarse, expected, rtol=0, atol=1e-3)
    assert bool(((coarse > 0) & (coarse < 1)).any())


def test_a_pool_without_a_fold_is_the_rest_in_its_order(make):
    pool = make(seeded(1))
    rest = pool.without(1)
    assert rest.rows.tolist() == [0, 2, 4, 6, 8]
    tokens, labels = rest.batch(torch.tensor([4, 0]))
    assert torch.equal(tokens, pool.tokens[[8, 0]])
    assert torch.equal(labels, pool.labels[[8, 0]])
    assert (len(rest), len(pool), len(rest.without(0))) == (5, 10, 0)


def test_a_pool_too_large_for_memory_lies_on_disk_and_is_the_same(make, monkeypatch):
    in_memory = make(seeded(1))
    monkeypatch.setattr(pool_module, "IN_MEMORY_BYTES", 0)
    on_disk = make(seeded(1))
    assert same(in_memory, on_disk)
    assert is_mapped_from_a_file(on_disk.tokens)
    assert not is_mapped_from_a_file(in_memory.tokens)
    positions = torch.tensor([3, 1])
    for found, expected in zip(on_disk.batch(positions), in_memory.batch(positions), strict=True):
        assert torch.equal(found, expected)


def test_a_pool_without_a_fold_holds_no_trace_of_its_images(make, support):
    # CutPaste alone, with every image of fold 1 changed: fold 0 must not notice
    settings = replace(SETTINGS, tasks=("cutpaste",))
    changed = support.clone()
    changed[1::2] = textured(3, seed=99)
    fold_0, fold_1 = ORDER[::2], ORDER[1::2]
    for order, notices in ((fold_0, False), (fold_1, True)):
        before = make(seeded(1), settings=settings, order=order)
        after = make(seeded(1), settings=settings, order=order, images=changed)
        assert same(before, after) is not notices


def test_cutpaste_takes_its_piece_from_another_image_of_the_same_fold(make, support):
    settings = replace(SETTINGS, tasks=("cutpaste",))
    order = torch.zeros(6, dtype=torch.int64)
    before = make(seeded(1), settings=settings, order=order)
    partners = support.clone()
    partners[[2, 4]] = textured(2, seed=99)
    changed = make(seeded(1), settings=settings, order=order, images=partners)
    assert not torch.equal(before.tokens, changed.tokens)
    alone = make(seeded(1), settings=settings, order=order, folds=torch.arange(6))
    assert torch.equal(alone.folds, order)


@pytest.mark.parametrize(("k", "count"), [(4, 12), (5, 12), (7, 3), (1, 4)])
def test_every_support_image_is_taken_equally_often_within_one(k, count):
    order = support_order(k, count, generator=seeded(0))
    taken = torch.bincount(order, minlength=k)
    assert len(order) == count
    assert int(taken.max() - taken.min()) <= 1


def test_the_order_is_drawn_from_the_generator():
    generator = seeded(0)
    first, following = (support_order(16, 32, generator=generator) for _ in range(2))
    assert torch.equal(first, support_order(16, 32, generator=seeded(0)))
    assert not torch.equal(first, following)
    assert not torch.equal(first[:16], first[16:])
