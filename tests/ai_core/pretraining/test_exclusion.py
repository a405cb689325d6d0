"""What is excluded stays excluded, under every name."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from ai_core.errors import PretrainingError
from ai_core.pretraining import gather_pictures, read_exclusion
from ai_core.pretraining.exclusion import read_pool
from tests.ai_core.pretraining.conftest import write_pictures


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.fixture
def files(tmp_path) -> list[Path]:
    return write_pictures(tmp_path / "data" / "set", 5, seed=4)


def split_of(files: list[Path], folder: Path) -> Path:
    names = [f"set/{file.name}" for file in files]
    split = {
        "note": "made here",
        "pool_normal": names[:2],
        "dev_normal": names[2:3],
        "test_normal": names[3:4],
        "test_abnormal": names[4:],
    }
    file = folder / "split.json"
    file.write_text(json.dumps(split))
    return file


def test_a_split_files_dev_and_test_pictures_are_left_out(files, tmp_path):
    exclusion = read_exclusion([split_of(files, tmp_path)], root=tmp_path / "data")
    pictures = gather_pictures([tmp_path / "data"], exclusion=exclusion)
    assert pictures.digests == tuple(sorted(sha256(file) for file in files[:2]))
    assert (pictures.counts[0].seen, pictures.counts[0].excluded) == (5, 3)


def test_an_excluded_picture_is_left_out_under_another_name_too(files, tmp_path):
    exclusion = read_exclusion([split_of(files, tmp_path)], root=tmp_path / "data")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(files[4], elsewhere / "harmless.png")
    shutil.copy(files[0], elsewhere / "fine.png")
    pictures = gather_pictures([elsewhere], exclusion=exclusion)
    assert pictures.digests == (sha256(files[0]),)
    assert pictures.counts[0].excluded == 1


def test_a_list_takes_paths_and_digests(files, tmp_path):
    lines = tmp_path / "list.txt"
    lines.write_text(
        f"# held out\n{sha256(files[0]).upper()}\n{sha256(files[1])}  set/x.png\n\n"
        f"data/set/{files[2].name}\n"
    )
    exclusion = read_exclusion([lines])
    assert exclusion.digests == {sha256(file) for file in files[:3]}
    assert exclusion.lists == ({"file": "list.txt", "sha256": sha256(lines), "entries": 3},)


def test_a_listed_picture_that_is_not_there_stops_the_run(files, tmp_path):
    split = split_of(files, tmp_path)
    files[3].unlink()
    with pytest.raises(PretrainingError, match=r"1 pictures that are not under .*picture-3"):
        read_exclusion([split], root=tmp_path / "data")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("empty.txt", "# nothing\n"),
        ("none.json", '{"pool_normal": ["a.png"]}'),
        ("list.json", "[]"),
        ("odd.json", '{"test_normal": "a.png"}'),
        ("broken.json", "{"),
    ],
)
def test_a_list_that_excludes_nothing_stops_the_run(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(PretrainingError, match=name):
        read_exclusion([tmp_path / name])


def test_a_missing_list_stops_the_run(tmp_path):
    with pytest.raises(PretrainingError, match=r"gone\.txt"):
        read_exclusion([tmp_path / "gone.txt"])


def test_a_split_files_pool_can_be_trained_on(files, tmp_path):
    split = split_of(files, tmp_path)
    assert read_pool(split, root=tmp_path / "data") == tuple(files[:2])
    pictures = gather_pictures([split], exclusion=read_exclusion([]), root=tmp_path / "data")
    assert pictures.digests == tuple(sorted(sha256(file) for file in files[:2]))


def test_of_real_chest_films_only_those_outside_dev_and_test_are_left(shared_data):
    split = shared_data / "splits" / "cxr.json"
    exclusion = read_exclusion([split], root=shared_data)
    held_out = sum(
        len(names)
        for name, names in json.loads(split.read_text()).items()
        if name.startswith(("dev_", "test_"))
    )
    pool = gather_pictures([split], exclusion=exclusion, root=shared_data)
    assert (len(pool), pool.counts[0].excluded) == (50, 0)
    (count,) = gather_pictures([shared_data / "cxr"], exclusion=exclusion).counts
    assert count.excluded == held_out
