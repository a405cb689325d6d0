"""The pool of synthetic features that a fit learns from, whatever batch size the machine likes."""

import pytest
import torch

from ai_core import DEFAULT, Backbone, load_backbone
from ai_core.fitting.pool import Pool, build_pool, support_order
from ai_core.fitting.support import prepare_support
from tests.ai_core.synthesis.conftest import bodies


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return load_backbone("untrained", "untrained", device="cpu")


def pools_of(backbone: Backbone, *, sizes: tuple[int, ...]) -> list[Pool]:
    support = prepare_support(bodies(4, size=224), groups=range(4), backbone=backbone)
    generator = torch.Generator().manual_seed(0)
    order = support_order(4, sum(sizes), generator=generator)
    return [
        build_pool(
            support,
            part,
            folds=torch.tensor([0, 0, 1, 1]),
            backbone=backbone,
            settings=DEFAULT.synthesis,
            label_side=56,
            generator=generator,
        )
        for part in order.split(list(sizes))
    ]


def test_synthetic_images_do_not_depend_on_the_batches_they_are_made_in(
    backbone: Backbone,
) -> None:
    (whole,) = pools_of(backbone, sizes=(10,))
    parts = pools_of(backbone, sizes=(1, 3, 6))
    folds, labels, tokens = (
        torch.cat([getattr(part, name) for part in parts]) for name in ("folds", "labels", "tokens")
    )
    assert torch.equal(whole.folds, folds)
    assert torch.allclose(whole.labels.float(), labels.float(), atol=0.13)
    assert float((whole.labels != labels).float().mean()) < 1e-3
    assert torch.allclose(whole.tokens.float(), tokens.float(), atol=0.05)


def test_a_pool_holds_labels_of_what_was_changed(backbone: Backbone) -> None:
    (pool,) = pools_of(backbone, sizes=(8,))
    assert 0 < float(pool.labels.float().mean()) < 0.3
