import json
from functools import partial

import pytest
import torch
from structlog.testing import capture_logs

import ai_core.backbone.runtime
from ai_core import load_backbone
from ai_core.backbone.architecture import build_model, read_architecture
from ai_core.backbone.autotune import Choice, measure, save_choices
from ai_core.backbone.runtime import TowerRuntime
from ai_core.backbone.tower import Tower
from ai_core.errors import DeviceMemoryError
from ai_core.images.placement import IMAGE_SIZE

BLOCKS = (2, 3, 4)
CPU = torch.device("cpu")


class TooLarge(torch.OutOfMemoryError):
    """What a card raises, without a card."""


class SmallCard(torch.nn.Module):
    """open_clip's tower on a device that holds only so many images."""

    def __init__(self, visual, *, holds):
        super().__init__()
        self.inner = visual
        self.holds = holds
        self.seen = []

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.inner, name)

    def conv1(self, x):
        self.seen.append(len(x))
        if len(x) > self.holds:
            raise TooLarge("CUDA out of memory")
        return self.inner.conv1(x)


@pytest.fixture(scope="module")
def backbone():
    return load_backbone("untrained", "untrained", device="cpu")


def images(count):
    generator = torch.Generator().manual_seed(count)
    return torch.rand(count, 3, IMAGE_SIZE, IMAGE_SIZE, generator=generator)


def test_a_batch_that_is_too_large_is_halved_until_it_fits_and_stays_so(backbone):
    card = SmallCard(backbone.model.visual, holds=3)
    runtime = TowerRuntime(card, blocks=BLOCKS, device=CPU)
    x = images(10)
    tokens, embedding = runtime.run(x, precision="fp32")
    expected, whole = Tower(backbone.model.visual, blocks=BLOCKS, precision="fp32")(x)
    torch.testing.assert_close(tokens, expected)
    torch.testing.assert_close(embedding, whole)
    assert card.seen == [8, 4, 2, 2, 2, 2, 2]
    runtime.run(x[:4], precision="fp32")
    assert card.seen[7:] == [2, 2]
    assert runtime.batch_size("fp32") == 2


def test_a_device_too_small_for_one_image_is_told(backbone):
    runtime = TowerRuntime(SmallCard(backbone.model.visual, holds=0), blocks=BLOCKS, device=CPU)
    with pytest.raises(DeviceMemoryError, match="does not hold one image"):
        runtime.run(images(5), precision="fp32")


def test_other_errors_of_the_tower_are_not_swallowed(backbone):
    runtime = TowerRuntime(backbone.model.visual, blocks=BLOCKS, device=CPU)
    with pytest.raises(RuntimeError, match="channels"):
        runtime.run(torch.zeros(1, 4, IMAGE_SIZE, IMAGE_SIZE), precision="fp32")


def test_batches_do_not_change_what_an_image_gives(backbone):
    runtime = TowerRuntime(backbone.model.visual, blocks=BLOCKS, device=CPU)
    x = images(9)
    together, _ = runtime.run(x, precision="fp32")
    alone = torch.cat([runtime.run(image[None], precision="fp32")[0] for image in x])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)
    assert runtime.run(x[:0], precision="fp32")[0].shape == (0, *together.shape[1:])


def test_a_precision_that_is_named_holds_for_every_detector(backbone):
    runtime = TowerRuntime(backbone.model.visual, blocks=BLOCKS, device=CPU, precision="bf16")
    assert runtime.precision == "bf16"
    with capture_logs() as logs:
        assert runtime.settle("fp32") == "bf16"
    assert logs == []
    assert runtime.settle(None) == "bf16"


def test_a_detector_keeps_the_precision_of_its_fit_where_the_machine_has_it(
    backbone, monkeypatch, tmp_path
):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    choices = tmp_path / "tower.json"
    bf16 = Choice("bf16", batch=2, seconds=0.1)
    fp32 = Choice("fp32", batch=4, seconds=1.0)
    save_choices(choices, (fp32, bf16))
    runtime = TowerRuntime(backbone.model.visual, blocks=BLOCKS, device=CPU, choices_file=choices)
    assert runtime.precision == "bf16"
    assert runtime.settle("fp32") == "fp32"
    assert runtime.settle("bf16") == "bf16"
    assert runtime.batch_size("bf16") == 2
    assert runtime.batch_size("fp32") == 4


def test_without_instructions_for_bf16_float32_takes_its_place_and_the_log_says_so_once(
    backbone, monkeypatch
):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True})
    runtime = TowerRuntime(backbone.model.visual, blocks=BLOCKS, device=CPU)
    with capture_logs() as logs:
        assert runtime.precision == "fp32"
        assert runtime.settle("fp32") == "fp32"
        assert logs == []
        assert [runtime.settle("bf16") for _ in range(3)] == ["fp32"] * 3
    (told,) = logs
    assert (told["event"], told["log_level"]) == ("precision.replaced", "warning")
    assert (told["recorded"], told["taken"]) == ("bf16", "fp32")


def test_where_there_is_one_precision_nothing_is_measured(backbone, monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True})
    choices = tmp_path / "tower.json"
    runtime = TowerRuntime(backbone.model.visual, blocks=BLOCKS, device=CPU, choices_file=choices)
    assert (runtime.precision, runtime.batch_size("fp32")) == ("fp32", 8)
    assert not choices.exists()


def test_without_a_memory_nothing_is_measured_and_float32_taken(backbone, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    runtime = TowerRuntime(backbone.model.visual, blocks=BLOCKS, device=CPU)
    with capture_logs() as logs:
        assert (runtime.precision, runtime.batch_size("bf16")) == ("fp32", 8)
    assert logs == []


def test_a_card_with_bf16_takes_it_unmeasured(backbone, monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *, including_emulation: True)
    card, choices = torch.device("cuda"), tmp_path / "tower.json"
    runtime = TowerRuntime(backbone.model.visual, blocks=BLOCKS, device=card, choices_file=choices)
    assert (runtime.precision, runtime.batch_size("bf16")) == ("bf16", 64)
    assert runtime.settle("fp32") == "fp32"
    assert not choices.exists()


def test_a_card_that_only_emulates_bf16_takes_float32(backbone, monkeypatch):
    supported = lambda including_emulation=True: including_emulation  # noqa: E731
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    runtime = TowerRuntime(backbone.model.visual, blocks=BLOCKS, device=torch.device("cuda"))
    assert runtime.precision == "fp32"


def test_what_was_measured_is_kept_for_the_next_start(backbone, monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    monkeypatch.setattr(ai_core.backbone.runtime, "measure", partial(measure, batches=(1, 2)))
    choices = tmp_path / "deep" / "tower.json"

    def start():
        return TowerRuntime(backbone.model.visual, blocks=BLOCKS, device=CPU, choices_file=choices)

    first = start()
    chosen = first.choice("fp32")
    assert chosen.precision == "fp32"
    assert chosen.seconds > 0
    stored = json.loads(choices.read_text())
    assert {entry["precision"] for entry in stored} == {"fp32", "bf16"}
    again = start()
    assert again.choice("fp32") == chosen
    assert again.precision == first.precision


@pytest.mark.parametrize("asked", ["auto", "int8"])
def test_a_timm_trunk_runs_without_int8_and_says_so(asked):
    architecture = read_architecture("timm/vit_small_patch14_dinov2", tag=None)
    assert architecture is not None
    with capture_logs() as events:
        runtime = TowerRuntime(
            build_model(architecture).visual,
            blocks=BLOCKS,
            device=CPU,
            trunk="timm",
            precision=asked,
        )
        assert runtime.precision in ("fp32", "bf16")
        assert runtime.settle("int8") == "fp32"  # a detector of another trunk would have that
    found = [event["event"] for event in events]
    assert found[0] == "tower.not_accelerated"
    assert events[0]["without"] == ["int8"]
    assert found.count("precision.replaced") == (2 if asked == "int8" else 1)
    assert all("timm trunk" in event["reason"] for event in events[1:])
