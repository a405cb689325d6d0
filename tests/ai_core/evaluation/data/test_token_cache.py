"""Tokens on disk are those that the tower made, whoever else uses the folder."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ai_core import Backbone
from ai_core.evaluation.data import TokenFile, encode_items, from_folder
from tests.ai_core.evaluation.pictures import make_folder


def silent(stage: str, step: int, steps: int) -> None:
    """Nobody watches."""


def encode(data: Path, folder: Path, backbone: Backbone) -> TokenFile:
    items = from_folder(data).test
    return encode_items(items, geometry="pad", backbone=backbone, folder=folder, report=silent)


def test_a_damaged_file_is_made_anew(tmp_path: Path, backbone: Backbone) -> None:
    data = make_folder(tmp_path / "data", normals=4, abnormals=2)
    first = encode(data, tmp_path / "cache", backbone)
    whole = np.load(first.path).copy()
    damaged = np.load(first.path, mmap_mode="r+")
    damaged[2:] = 0  # as a killed copy or another writer leaves it
    damaged.flush()
    del damaged
    again = encode(data, tmp_path / "cache", backbone)
    np.testing.assert_array_equal(np.load(again.path), whole)


def test_two_runs_that_share_a_cache_encode_once_and_read_the_same(
    tmp_path: Path, backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make_folder(tmp_path / "data", normals=4, abnormals=2)
    seen: list[int] = []
    real = Backbone.encode

    def counting(self: Backbone, images: Any, **options: Any) -> Any:
        seen.append(len(images))
        return real(self, images, **options)

    monkeypatch.setattr(Backbone, "encode", counting)
    assert backbone.batch_size > 0  # measured before the threads start
    seen.clear()
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(lambda _: encode(data, tmp_path / "cache", backbone), range(2))
    assert sum(seen) == 4
    assert one.path == other.path
    assert (np.load(one.path) != 0).any(axis=(1, 2, 3)).all()
