"""The saved form: described, sealed, and refused when it is not whole."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import safetensors.torch
import torch

from ai_core import PAPER, CorruptDetectorError, DetectorInfo
from ai_core.detector_info import FORMAT_VERSION, read_detector_info
from ai_core.storage import pack, tensors_sha256, unpack
from tests.ai_core.conftest import seeded

INFO = DetectorInfo(
    preset=PAPER,
    backbone="tiny",
    weights="somewhere/tiny.safetensors",
    backbone_sha256="ab" * 32,
    blocks=(2, 3, 4),
    precision="bf16",
    seed=2**63 - 1,
    support_sha256=("cd" * 32, "ef" * 32),
)
TENSORS = {
    "text": torch.randn(2, 3, generator=seeded(0)),
    "adapters.weight": torch.randn(1, 4, 3, generator=seeded(1)),
}


@pytest.fixture(scope="module")
def blob() -> bytes:
    return pack(TENSORS, INFO)


def resealed(blob: bytes, **changes) -> bytes:
    """The same with another description, as an older or newer software might write it."""
    length = int.from_bytes(blob[:8], "little")
    (entry,) = json.loads(blob[8 : 8 + length])["__metadata__"].items()
    values = {**json.loads(entry[1]), **changes}
    kept = {name: value for name, value in values.items() if value is not ...}
    return safetensors.torch.save(TENSORS, metadata={entry[0]: json.dumps(kept)})


def test_what_was_packed_comes_back_bit_for_bit(blob):
    tensors, info = unpack(blob)
    assert info == INFO
    assert set(tensors) == set(TENSORS)
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)


def test_the_description_is_read_alone(blob):
    info = read_detector_info(blob)
    assert info == INFO
    assert (info.k, info.format_version) == (2, FORMAT_VERSION)


def test_the_same_content_gives_the_same_bytes_in_any_order(blob):
    turned = dict(reversed(TENSORS.items()))
    assert all(pack(turned, INFO) == blob for _ in range(5))


def test_other_content_gives_other_bytes(blob):
    assert pack(TENSORS, replace(INFO, seed=3)) != blob
    assert pack({**TENSORS, "text": TENSORS["text"] + 1e-6}, INFO) != blob


def test_every_truncation_is_noticed(blob):
    for length in range(len(blob)):
        with pytest.raises(CorruptDetectorError):
            unpack(blob[:length])


@pytest.mark.parametrize("bit", range(8))
def test_every_flipped_bit_is_noticed_or_changes_nothing(blob, bit):
    whole = unpack(blob)
    for place in range(bit, len(blob), 3):
        damaged = bytearray(blob)
        damaged[place] ^= 1 << bit
        try:
            tensors, info = unpack(bytes(damaged))
        except CorruptDetectorError:
            continue
        assert info == whole[1], place
        assert tensors_sha256(tensors) == tensors_sha256(whole[0]), place


def test_a_flipped_bit_in_any_tensor_is_noticed(blob):
    length = int.from_bytes(blob[:8], "little")
    for place in range(8 + length, len(blob)):
        damaged = bytearray(blob)
        damaged[place] ^= 1
        with pytest.raises(CorruptDetectorError, match="not as written"):
            unpack(bytes(damaged))


def test_a_changed_description_is_noticed_without_the_tensors(blob):
    with pytest.raises(CorruptDetectorError, match="description is damaged"):
        read_detector_info(resealed(blob, seed=4))


@pytest.mark.parametrize("name", ["description_sha256", "tensors_sha256", "format_version"])
def test_a_description_without_its_digests_or_version_is_refused(blob, name):
    with pytest.raises(CorruptDetectorError):
        unpack(resealed(blob, **{name: ...}))


def test_bytes_behind_the_end_are_noticed(blob):
    with pytest.raises(CorruptDetectorError):
        unpack(blob + b"\x00")


@pytest.mark.parametrize(
    "data",
    [b"", b"\x00" * 8, b"\xff" * 64, b"text that is no detector", (2).to_bytes(8, "little") + b"{}",
     (2).to_bytes(8, "little") + b"[]", (4).to_bytes(8, "little") + b"null"],
)  # fmt: skip
def test_other_bytes_are_no_detector(data):
    for read in (read_detector_info, unpack):
        with pytest.raises(CorruptDetectorError, match="no saved detector"):
            read(data)


def test_other_safetensors_are_no_detector():
    for metadata in (None, {"mediclip_detector": "text"}, {"mediclip_detector": "[]"}):
        with pytest.raises(CorruptDetectorError, match="no saved detector"):
            read_detector_info(safetensors.torch.save(TENSORS, metadata=metadata))


def test_a_newer_format_asks_for_an_update(blob):
    newer = resealed(blob, format_version=FORMAT_VERSION + 1)
    for read in (read_detector_info, unpack):
        with pytest.raises(CorruptDetectorError, match=f"format {FORMAT_VERSION + 1}.*update"):
            read(newer)


def test_digests_of_tensors_tell_name_shape_type_and_value_apart():
    base = torch.zeros(4)
    others = [{"a": base}, {"b": base}, {"a": base.view(2, 2)}, {"a": base.int()}, {"a": base + 1}]
    assert len({tensors_sha256(tensors) for tensors in others}) == len(others)


def test_digests_of_tensors_do_not_depend_on_order_or_layout():
    square = torch.randn(3, 3, generator=seeded(2))
    first = tensors_sha256({"a": square, "b": square + 1})
    assert tensors_sha256({"b": square + 1, "a": square.T.contiguous().T}) == first
