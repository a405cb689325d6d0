"""Pictures of all kinds come in as eight bits, counted."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from ai_core.errors import PretrainingError
from ai_core.pretraining import gather_pictures, read_exclusion
from tests.ai_core.pretraining.conftest import write_pictures

NOTHING = read_exclusion([])


def test_names_and_places_change_nothing(tmp_path):
    files = write_pictures(tmp_path / "one", 3, seed=5)
    (tmp_path / "two" / "deep").mkdir(parents=True)
    for number, file in enumerate(reversed(files)):
        shutil.copy(file, tmp_path / "two" / "deep" / f"{number}.png")
    one = gather_pictures([tmp_path / "one"], exclusion=NOTHING)
    two = gather_pictures([tmp_path / "two"], exclusion=NOTHING)
    assert one.sha256 == two.sha256
    assert torch.equal(one.batch(torch.arange(3)), two.batch(torch.arange(3)))


def test_every_file_is_accounted_for(tmp_path):
    files = write_pictures(tmp_path, 2, seed=6)
    shutil.copy(files[0], tmp_path / "copy.png")
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    shutil.copy(files[1], tmp_path / "picture-1_mask.png")
    (tmp_path / "notes.txt").write_text("not looked at")
    (count,) = gather_pictures([tmp_path], exclusion=NOTHING).counts
    assert (count.seen, count.used, count.repeated, count.unreadable) == (4, 2, 1, 1)


def test_sixteen_bits_and_colour_keep_their_range_and_wide_pictures_their_aspect(tmp_path):
    ramp = np.linspace(1000, 40000, 100 * 200).reshape(100, 200).astype(np.uint16)
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    colour = np.zeros((50, 50, 3), np.uint8)
    colour[..., 0] = 200
    Image.fromarray(colour).save(tmp_path / "red.png")
    pictures = gather_pictures([tmp_path], exclusion=NOTHING)
    channels = {value.shape[0]: value for value in pictures.values}
    assert channels[1].dtype == torch.uint8
    assert int(channels[1].max()) > 250
    assert int(channels[1][:, :50].max()) == 0  # black above a picture twice as wide as high
    assert channels[3][:, 100, 100].tolist() == [200, 0, 0]
    assert pictures.batch(torch.tensor([0, 1])).shape == (2, 3, 224, 224)


def test_nothing_left_or_no_folder_is_told(tmp_path):
    with pytest.raises(PretrainingError, match="no picture is left"):
        gather_pictures([tmp_path], exclusion=NOTHING)
    with pytest.raises(PretrainingError, match="no folder"):
        gather_pictures([tmp_path / "gone"], exclusion=NOTHING)


def test_a_small_source_comes_more_often_in_a_round(tmp_path):
    write_pictures(tmp_path / "many", 3, seed=7)
    write_pictures(tmp_path / "few", 1, seed=8)
    sources = [tmp_path / "many", tmp_path / "few"]
    weighed = gather_pictures(sources, exclusion=NOTHING, turns=[1, 4])
    plain = gather_pictures(sources, exclusion=NOTHING)
    few = gather_pictures([tmp_path / "few"], exclusion=NOTHING).digests[0]
    place = weighed.digests.index(few)
    assert torch.bincount(weighed.round).tolist() == [4 if n == place else 1 for n in range(4)]
    assert plain.round.tolist() == [0, 1, 2, 3]
    assert weighed.sha256 != plain.sha256
    assert [count.turns for count in weighed.counts] == [1, 4]


def test_a_source_without_a_turn_is_refused(tmp_path):
    write_pictures(tmp_path, 1, seed=9)
    with pytest.raises(PretrainingError, match="at least one turn"):
        gather_pictures([tmp_path], exclusion=NOTHING, turns=[0])
