import itertools
import math
from collections.abc import Callable, Sequence

import pytest
import torch

from ai_core.backbone.autotune import (
    Choice,
    choices_file,
    fastest,
    load_choices,
    measure,
    save_choices,
)
from ai_core.backbone.names import Precision
from ai_core.backbone.tower import Runner

Maker = Callable[[], Runner]


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


def measured(clock: Clock, *, fp32: Maker, bf16: Maker | None = None) -> dict[Precision, Choice]:
    makers: dict[Precision, Maker] = {"fp32": fp32}
    if bf16 is not None:
        makers["bf16"] = bf16
    found = measure(makers, batches=(1, 2, 4), clock=clock, seconds=100)
    return {choice.precision: choice for choice in found}


def the_fastest(choices: Sequence[Choice], *, precision: Precision | None = None) -> Choice:
    found = fastest(choices, precision=precision)
    assert found is not None
    return found


def test_the_batch_before_the_cliff_is_kept():
    clock = Clock()
    found = measured(
        clock,
        fp32=runner(clock, {1: 1.0, 2: 2.0, 4: 3.0}),
        bf16=runner(clock, {1: 0.3, 2: 0.5, 4: 30.0}),
    )
    assert (found["fp32"].batch, found["fp32"].seconds) == (4, 0.75)
    assert (found["bf16"].batch, found["bf16"].seconds) == (2, 0.25)


def test_larger_batches_are_not_tried_behind_the_cliff_or_after_the_time():
    clock = Clock()
    falls = measured(clock, fp32=runner(clock, {1: 1.0, 2: 9.0}))
    assert falls["fp32"].batch == 1
    slow = measured(clock, fp32=runner(clock, {1: 60.0}))
    assert slow["fp32"].batch == 1


def test_a_precision_whose_tokens_disagree_is_never_chosen_however_fast():
    clock = Clock()
    found = measured(
        clock,
        fp32=runner(clock, {1: 1.0, 2: 2.0, 4: 4.0}),
        bf16=runner(clock, {1: 0.1, 2: 0.1, 4: 0.1}, shift=1.0),
    )
    assert found["bf16"].agreement < 0.999
    assert found["bf16"].seconds == math.inf
    assert the_fastest(tuple(found.values())).precision == "fp32"
    assert fastest(tuple(found.values()), precision="bf16") is None


def test_a_precision_that_fails_is_passed_over():
    def broken():
        raise RuntimeError("no such instruction")

    clock = Clock()
    found = measured(clock, fp32=runner(clock, dict.fromkeys((1, 2, 4), 1.0)), bf16=broken)
    assert found["bf16"].seconds == math.inf
    assert the_fastest(tuple(found.values())).precision == "fp32"


def test_the_reference_failing_is_told():
    def broken():
        raise RuntimeError("nothing works")

    with pytest.raises(RuntimeError, match="nothing works"):
        measured(Clock(), fp32=broken)


@pytest.mark.parametrize(("seconds", "precision"), [(0.9, "fp32"), (0.7, "bf16")])
def test_another_precision_has_to_be_well_ahead(seconds, precision):
    choices = [Choice("fp32", batch=8, seconds=1.0), Choice("bf16", batch=1, seconds=seconds)]
    for order in itertools.permutations(choices):
        assert the_fastest(order).precision == precision


def test_only_the_precision_that_is_asked_for():
    choices = [Choice("fp32", batch=8, seconds=1.0), Choice("bf16", batch=1, seconds=0.1)]
    assert the_fastest(choices, precision="fp32").batch == 8
    assert the_fastest(choices, precision="bf16").batch == 1
    assert fastest(choices[:1], precision="bf16") is None


def test_choices_are_remembered_for_the_precisions_that_they_cover(tmp_path):
    file = choices_file(tmp_path, digest="abc", blocks=(2, 3, 4))
    assert load_choices(file, ["fp32"]) == ()
    choices = (Choice("fp32", batch=8, seconds=1.0), Choice("bf16", batch=1, agreement=0.5))
    save_choices(file, choices[:1])
    assert load_choices(file, ["fp32"]) == choices[:1]
    assert load_choices(file, ["fp32", "bf16"]) == ()
    save_choices(file, choices)
    assert load_choices(file, ["bf16", "fp32"]) == choices
    assert load_choices(None, ["fp32"]) == ()


def test_a_damaged_memory_is_as_good_as_none(tmp_path):
    file = tmp_path / "tower.json"
    for content in ("", "{", '[{"precision": "fp32"}]', '[{"way": 1}]', '{"a": 1}'):
        file.write_text(content)
        assert load_choices(file, ["fp32"]) == ()


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path):
    blocked = tmp_path / "file"
    blocked.touch()
    save_choices(blocked / "tower.json", (Choice("fp32", batch=1),))
    assert blocked.is_file()


def test_other_weights_or_blocks_have_another_choices_file(tmp_path):
    files = {
        choices_file(tmp_path, digest=digest, blocks=blocks)
        for digest in ("a", "b")
        for blocks in ((1, 2, 3), (2, 3, 4))
    }
    assert len(files) == 4
