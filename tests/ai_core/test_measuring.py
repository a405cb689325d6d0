import itertools
import math

import pytest
import torch

from ai_core.measuring import (
    TORCH_FP32,
    Choice,
    Way,
    fastest,
    measure,
    memory_file,
    recall,
    remember,
)

BF16 = Way("torch", "bf16")
OPENVINO = Way("openvino", "fp32")


class Clock:
    """Time passes only when a runner says so."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def runner(clock, seconds, *, shift=0.0):
    """A tower of one block whose batch of n takes seconds[n]."""

    def run(images):
        clock.now += seconds[len(images)]
        tokens = images.flatten(1)[:, None, None, :1000]
        return tokens + shift * torch.arange(1000), tokens[:, 0, 0]

    return lambda: run


def measured(clock, **ways):
    names = {"plain": TORCH_FP32, "bf16": BF16, "openvino": OPENVINO}
    makers = {names[name]: make for name, make in ways.items()}
    found = measure(makers, batches=(1, 2, 4), clock=clock, seconds=100)
    return {choice.way: choice for choice in found}


def test_the_batch_before_the_cliff_is_kept():
    clock = Clock()
    found = measured(
        clock,
        plain=runner(clock, {1: 1.0, 2: 2.0, 4: 3.0}),
        bf16=runner(clock, {1: 0.3, 2: 0.5, 4: 30.0}),
    )
    assert (found[TORCH_FP32].batch, found[TORCH_FP32].seconds) == (4, 0.75)
    assert (found[BF16].batch, found[BF16].seconds) == (2, 0.25)


def test_larger_batches_are_not_tried_behind_the_cliff_or_after_the_time():
    clock = Clock()
    falls = measured(clock, plain=runner(clock, {1: 1.0, 2: 9.0}))
    assert falls[TORCH_FP32].batch == 1
    slow = measured(clock, plain=runner(clock, {1: 60.0}))
    assert slow[TORCH_FP32].batch == 1


def test_a_way_whose_tokens_disagree_is_never_chosen_however_fast():
    clock = Clock()
    found = measured(
        clock,
        plain=runner(clock, {1: 1.0, 2: 2.0, 4: 4.0}),
        bf16=runner(clock, {1: 0.1, 2: 0.1, 4: 0.1}, shift=1.0),
    )
    assert found[BF16].agreement < 0.999
    assert found[BF16].seconds == math.inf
    assert fastest(tuple(found.values()), engines=["torch"]).way == TORCH_FP32
    assert fastest(tuple(found.values()), engines=["torch"], precision="bf16") is None


def test_a_way_that_fails_is_passed_over():
    def broken():
        raise RuntimeError("no such instruction")

    clock = Clock()
    found = measured(clock, plain=runner(clock, dict.fromkeys((1, 2, 4), 1.0)), openvino=broken)
    assert found[OPENVINO].seconds == math.inf
    assert fastest(tuple(found.values()), engines=["torch", "openvino"]).way == TORCH_FP32


def test_the_reference_failing_is_told():
    def broken():
        raise RuntimeError("nothing works")

    with pytest.raises(RuntimeError, match="nothing works"):
        measured(Clock(), plain=broken)


@pytest.mark.parametrize(("seconds", "way"), [(0.9, TORCH_FP32), (0.7, OPENVINO)])
def test_another_way_has_to_be_well_ahead(seconds, way):
    choices = [Choice(TORCH_FP32, batch=8, seconds=1.0), Choice(OPENVINO, batch=1, seconds=seconds)]
    for order in itertools.permutations(choices):
        assert fastest(order, engines=["torch", "openvino"]).way == way


def test_only_the_engine_and_precision_that_are_asked_for():
    choices = [
        Choice(TORCH_FP32, batch=8, seconds=1.0),
        Choice(BF16, batch=1, seconds=0.1),
        Choice(OPENVINO, batch=1, seconds=0.5),
    ]
    assert fastest(choices, engines=["torch"], precision="fp32").way == TORCH_FP32
    assert fastest(choices, engines=["torch"]).way == BF16
    assert fastest(choices, engines=["openvino"]).way == OPENVINO


def test_choices_are_remembered_for_the_ways_that_they_cover(tmp_path):
    file = memory_file(tmp_path, digest="abc", blocks=(2, 3, 4))
    assert recall(file, [TORCH_FP32]) == ()
    choices = (Choice(TORCH_FP32, batch=8, seconds=1.0), Choice(BF16, batch=1, agreement=0.5))
    remember(file, choices)
    assert recall(file, [TORCH_FP32]) == choices
    assert recall(file, [BF16, TORCH_FP32]) == choices
    assert recall(file, [OPENVINO]) == ()
    assert recall(None, [TORCH_FP32]) == ()


def test_a_damaged_memory_is_as_good_as_none(tmp_path):
    file = tmp_path / "tower.json"
    for content in ("", "{", '[{"way": 1}]', '{"a": 1}'):
        file.write_text(content)
        assert recall(file, [TORCH_FP32]) == ()


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path):
    blocked = tmp_path / "file"
    blocked.touch()
    remember(blocked / "tower.json", (Choice(TORCH_FP32, batch=1),))
    assert blocked.is_file()


def test_other_weights_or_blocks_have_another_memory(tmp_path):
    files = {
        memory_file(tmp_path, digest=digest, blocks=blocks)
        for digest in ("a", "b")
        for blocks in ((1, 2, 3), (2, 3, 4))
    }
    assert len(files) == 4
