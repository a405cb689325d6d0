"""The pool of synthetic features that a fit learns from, whatever batch size the machine likes."""

import pytest
import torch

from ai_core import DEFAULT, Backbone, load_backbone
from ai_core.pool import Pool, build_pool, support_order
from tests.ai_core.synthesis.conftest import bodies


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return load_backbone("untrained", "untrained", device="cpu")


def pool_of(backbone: Backbone, *, batches: tuple[int, ...]) -> Pool:
    images = bodies(4, size=224)
    folds = torch.tensor([0, 0, 1, 1])
    generator = torch.Generator().manual_seed(0)
    order = support_order(4, sum(batches), generator=generator)
    parts = [
        build_pool(
            images,
            part,
            folds=folds,
            backbone=backbone,
            settings=DEFAULT.synthesis,
            label_side=56,
            generator=generator,
        )
        for part in order.split(list(batches))
    ]
    return Pool(
        tokens=torch.cat([part.tokens for part in parts]),
        labels=torch.cat([part.labels for part in parts]),
        folds=torch.cat([part.folds for part in parts]),
    )


def test_a_pool_does_not_depend_on_the_batches_it_is_made_in(backbone: Backbone) -> None:
    whole = pool_of(backbone, batches=(10,))
    parts = pool_of(backbone, batches=(1, 3, 6))
    assert torch.equal(whole.folds, parts.folds)
    assert torch.allclose(whole.labels.float(), parts.labels.float(), atol=0.13)
    assert float((whole.labels != parts.labels).float().mean()) < 1e-3
    assert torch.allclose(whole.tokens.float(), parts.tokens.float(), atol=0.05)


def test_a_pool_holds_labels_of_what_was_changed(backbone: Backbone) -> None:
    pool = pool_of(backbone, batches=(8,))
    assert len(pool) == 8
    assert pool.labels.shape == (8, 56, 56)
    assert 0 < float(pool.labels.float().mean()) < 0.3
    assert sorted(pool.folds.tolist()) == [0] * 4 + [1] * 4
    assert len(pool.without(0)) == 4
