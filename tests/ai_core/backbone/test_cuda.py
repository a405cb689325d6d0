"""What only a GPU does: recorded steps, prefetched pools, the fused kernel, memory running out."""

from __future__ import annotations

import pytest
import torch
from structlog.testing import capture_logs
from torch import Tensor, nn

from ai_core import OFFICIAL, Backbone, Detector, Preset, load_backbone
from ai_core.backbone.cuda_graphs import Replay
from ai_core.backbone.residual import add_and_normalise, fastest_join
from ai_core.backbone.runtime import CUDA_BATCH
from ai_core.fitting.pool import build_pool, prefetch, support_order
from ai_core.fitting.support import prepare_support
from ai_core.model import PatchBankSettings
from ai_core.model.patch_bank import coreset, distances_to_bank, patch_features
from tests.ai_core.conftest import Tiny, quicker, seeded, textured

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")

STREAMED = quicker(OFFICIAL, epochs=6, batch=4, loss_side=28)


@pytest.fixture(scope="module")
def card() -> Backbone:
    return load_backbone(weights="untrained", device="cuda")


def cosine(found: Tensor, expected: Tensor) -> Tensor:
    return nn.functional.cosine_similarity(found, expected, dim=-1)


def fit(images: Tensor, backbone: Backbone, preset: Preset) -> Detector:
    return Detector.fit(images, backbone=backbone, preset=preset, generator=seeded(3))


@pytest.fixture(params=["pooled", "prompts now and then", "streamed"])
def preset(request, quick: Preset) -> Preset:
    pooled = quicker(quick, pool_images=20, updates=30)  # batches of 8, 8 and 4
    every = quicker(pooled, prompts_every=3)
    return {"pooled": pooled, "prompts now and then": every, "streamed": STREAMED}[request.param]


def test_the_same_seed_gives_the_same_bytes(card, support, preset):
    assert fit(support, card, preset).to_bytes() == fit(support, card, preset).to_bytes()


def test_what_is_recorded_learns_what_single_steps_learn(card, support, preset, monkeypatch):
    recorded = fit(support, card, preset)
    monkeypatch.setattr(Replay, "__call__", lambda self, *inputs: self._step(*inputs))
    stepped = fit(support, card, preset)
    there, here = (detector.score(support) for detector in (recorded, stepped))
    torch.testing.assert_close(there.scores, here.scores, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(there.maps, here.maps, rtol=1e-2, atol=1e-3)


def test_a_detector_fitted_on_a_card_scores_alike_on_the_cpu(support, quick, tmp_path):
    there = load_backbone(weights="untrained", device="cuda", precision="fp32")
    detector = fit(support, there, quick)
    detector.save(tmp_path / "detector")
    here = Detector.load(
        tmp_path / "detector", backbone=load_backbone(weights="untrained", device="cpu")
    )
    images = textured(3, seed=9)
    on_card, on_cpu = detector.score(images), here.score(images)
    torch.testing.assert_close(on_card.scores, on_cpu.scores, rtol=0, atol=2e-3)
    torch.testing.assert_close(on_card.maps, on_cpu.maps, rtol=0, atol=5e-3)
    assert on_card.in_scope.tolist() == on_cpu.in_scope.tolist()


def test_a_step_is_run_three_times_recorded_once_and_then_launched():
    total = torch.zeros(4, device="cuda")
    calls = []

    def step(given: Tensor) -> Tensor:
        calls.append(len(given))
        total[: len(given)].add_(given)
        return total.sum()

    replay = Replay(step)
    for number in range(1, 11):
        found = float(replay(torch.full((4,), float(number), device="cuda")))
        assert found == 4 * number * (number + 1) / 2
    assert calls == [4] * 4
    replay(torch.ones(2, device="cuda"))  # another shape is another recording
    assert calls == [4] * 4 + [2]
    assert total.tolist() == [56.0, 56.0, 55.0, 55.0]


def test_a_step_that_cannot_be_recorded_goes_on_unrecorded():
    total = torch.zeros(4, device="cuda")

    def step(given: Tensor) -> float:
        total.add_(given)
        return float(total.sum())  # waits for the GPU, which a recording can't

    replay = Replay(step)
    with capture_logs() as logs:
        found = [replay(torch.ones(4, device="cuda")) for _ in range(8)]
    assert found == [4.0 * number for number in range(1, 9)]
    assert [entry["event"] for entry in logs] == ["step.not_recorded"]


def test_pools_made_ahead_are_those_made_in_turn(card, support):
    def pools():
        generator = seeded(4)
        prepared = prepare_support(support, groups=range(len(support)), backbone=card)
        for _ in range(4):
            yield build_pool(
                prepared,
                support_order(len(support), 12, generator=generator),
                folds=torch.zeros(len(support), dtype=torch.int64),
                backbone=card,
                settings=OFFICIAL.synthesis,
                label_side=28,
                generator=generator,
            )

    ahead = [
        (pool.tokens.cpu(), pool.labels.cpu()) for pool in prefetch(pools(), device=card.device)
    ]
    in_turn = [(pool.tokens.cpu(), pool.labels.cpu()) for pool in pools()]
    assert len(ahead) == 4
    for found, expected in zip(ahead, in_turn, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_an_error_while_a_pool_is_made_ahead_comes_through(card):
    def pools():
        yield from ()
        raise ValueError("no such pool")

    with pytest.raises(ValueError, match="no such pool"):
        list(prefetch(pools(), device=card.device))


@pytest.mark.parametrize("width", [80, 384, 1024])
def test_one_pass_over_the_stream_gives_what_its_parts_give(width):
    join = fastest_join(torch.device("cuda"), torch.bfloat16)
    assert join is not add_and_normalise
    torch.manual_seed(0)
    x = 3 + torch.randn(3, 257, width, device="cuda")
    branch = torch.randn(3, 257, width, device="cuda").bfloat16()
    norm = nn.LayerNorm(width).cuda().requires_grad_(requires_grad=False)
    norm.weight.normal_()
    for given in (branch, None):
        total, normed = join(x, given, norm, torch.bfloat16)
        expected, exact = add_and_normalise(x, given, norm, torch.float32)
        assert torch.equal(total, expected)
        torch.testing.assert_close(normed.float(), exact, rtol=2**-8, atol=1e-4)


def test_bf16_tokens_agree_with_those_of_the_cpu(tiny: Tiny, tiny_backbone: Backbone):
    there = load_backbone(str(tiny.config), str(tiny.weights), device="cuda")
    assert there.precision == "bf16"
    images = textured(5, seed=2)
    found, exact = there.encode(images), tiny_backbone.encode(images)
    assert float(cosine(found.tokens.cpu(), exact.tokens).min()) > 0.999


def test_the_memory_is_the_same_on_both(card):
    settings = PatchBankSettings(place_weight=3.0)
    features = patch_features(torch.randn(4, 3, 64, 96, generator=seeded(0)), settings)
    bank = patch_features(torch.randn(2, 3, 64, 96, generator=seeded(1)), settings).flatten(0, 1)
    there = distances_to_bank(features.cuda(), bank.half().cuda()).cpu()
    torch.testing.assert_close(there, distances_to_bank(features, bank.half()), rtol=0, atol=1e-3)
    patches = features.flatten(0, 1)
    picked = coreset(patches.cuda(), size=40, generator=seeded(2))
    assert picked.tolist() == coreset(patches, size=40, generator=seeded(2)).tolist()


def test_few_images_are_launched_in_one_go_with_the_same_tokens(card):
    images = textured(6, seed=6).cuda()
    many = card.encode(images)
    for _ in range(6):  # eager, recorded, launched
        for first in range(6):
            one = card.encode(images[first : first + 1])
            assert float(cosine(one.tokens[0], many.tokens[first]).min()) > 0.999
            assert float(cosine(one.embedding[0], many.embedding[first])) > 0.999
    kept = card.encode(images[:1]).tokens
    copy = kept.clone()
    card.encode(images[1:2])
    assert torch.equal(kept, copy)


def test_where_memory_runs_out_the_batch_is_halved_and_the_tokens_are_the_same():
    backbone = load_backbone(weights="untrained", device="cuda", precision="fp32")
    images = textured(8, seed=5).repeat(8, 1, 1, 1).cuda()
    torch.cuda.reset_peak_memory_stats()
    base = torch.cuda.memory_allocated()
    whole = backbone.encode(images).tokens.cpu()
    needed = torch.cuda.max_memory_allocated() - base
    assert backbone.batch_size == CUDA_BATCH
    torch.cuda.empty_cache()
    room = torch.cuda.memory_reserved() + 0.7 * needed
    try:
        torch.cuda.set_per_process_memory_fraction(room / torch.cuda.mem_get_info()[1])
        parts = backbone.encode(images).tokens.cpu()
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert backbone.batch_size < CUDA_BATCH
    torch.testing.assert_close(parts, whole, rtol=1e-3, atol=1e-3)


def test_a_fit_tells_no_warning(card, support, quick, recwarn):
    fit(support, card, quicker(quick, updates=12))
    assert [str(warning.message) for warning in recwarn] == []
