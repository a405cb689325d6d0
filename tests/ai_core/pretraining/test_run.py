"""A distillation as its user sees it: files, losses, and going on after an interruption."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from ai_core import load_backbone
from ai_core.errors import PretrainingError
from ai_core.pretraining import gather_pictures, pretrain, read_exclusion
from ai_core.pretraining.distillation import Distiller
from ai_core.pretraining.exclusion import Exclusion, sha256_of
from ai_core.pretraining.state import STATE_FILE
from tests.ai_core.conftest import textured
from tests.ai_core.pretraining.conftest import SETTINGS, STUDENT, distil

RESULTS = ("student.safetensors", "student.json", "loss.csv")


def losses(folder: Path) -> list[float]:
    rows = (folder / "loss.csv").read_text().splitlines()[1:]
    return [float(row.split(",")[1]) for row in rows]


def results(folder: Path) -> list[bytes]:
    return [(folder / name).read_bytes() for name in RESULTS]


@pytest.fixture(scope="module")
def uninterrupted(images, teacher, tmp_path_factory) -> Path:
    return distil(images, tmp_path_factory.mktemp("whole"), teacher=teacher)


def test_the_loss_falls_on_a_few_pictures(images, teacher, tmp_path):
    seen = losses(distil(images, tmp_path, teacher=teacher, steps=60, learning_rate=1e-2))
    assert len(seen) == 60
    assert sum(seen[-10:]) < 0.8 * sum(seen[:10])


def test_a_student_that_is_shown_some_patches_sees_all_of_them_in_the_end(
    images, teacher, tmp_path, monkeypatch
):
    shown: list[tuple[int, ...] | None] = []
    forward = Distiller.forward

    def watch(distiller, pictures, seen, *, patches=None, lesion=None):
        shown.append(None if patches is None else tuple(patches.shape))
        return forward(distiller, pictures, seen, patches=patches, lesion=lesion)

    monkeypatch.setattr(Distiller, "forward", watch)
    distil(images, tmp_path, teacher=teacher, shown=0.25, whole_last=0.5)
    assert shown == [(4, 12)] * 3 + [None] * 3


@pytest.mark.parametrize("change", [{"shown": 0.0}, {"shown": 1.5}, {"whole_last": -0.1}])
def test_a_share_that_is_none_is_refused(change):
    with pytest.raises(PretrainingError, match="shown"):
        replace(SETTINGS, **change)


def test_the_student_loads_as_any_backbone_does(uninterrupted):
    student = load_backbone(
        str(uninterrupted / "student.json"), str(uninterrupted / "student.safetensors")
    )
    again = load_backbone(
        str(uninterrupted / "student.json"), str(uninterrupted / "student.safetensors")
    )
    assert student.blocks == (2, 3, 4)
    assert student.trained
    assert student.sha256 == again.sha256
    tokens = student.encode(textured(2, seed=9)).tokens
    assert tokens.shape == (2, 3, 49, 64)
    assert bool(torch.isfinite(tokens).all())


def test_the_same_seed_gives_the_same_bytes_and_another_gives_others(
    images, teacher, uninterrupted, tmp_path
):
    same = distil(images, tmp_path / "same", teacher=teacher)
    other = distil(images, tmp_path / "other", teacher=teacher, seed=4)
    assert results(same) == results(uninterrupted)
    assert results(other)[0] != results(uninterrupted)[0]


@pytest.mark.parametrize("stop_after", [1, 4])
def test_a_resumed_run_has_the_bytes_of_an_uninterrupted_one(
    images, teacher, uninterrupted, tmp_path, stop_after
):
    distil(images, tmp_path, teacher=teacher, stop_after=stop_after)
    assert not (tmp_path / "student.safetensors").exists()
    distil(images, tmp_path, teacher=teacher, resume=True)
    assert results(tmp_path) == results(uninterrupted)


def test_fixed_crops_are_seen_by_the_teacher_once_and_resume_alike(images, teacher, tmp_path):
    told: list[str] = []
    fixed: dict[str, Any] = {"crops_per_image": 2, "report": told.append}
    whole = distil(images, tmp_path / "whole", teacher=teacher, **fixed)
    assert [line for line in told if line.startswith("teacher")][-1] == "teacher: 16 of 16 crops"
    parts = tmp_path / "parts"
    distil(images, parts, teacher=teacher, stop_after=3, **fixed)
    told.clear()
    distil(images, parts, teacher=teacher, resume=True, **fixed)
    assert not [line for line in told if line.startswith("teacher")]
    assert results(parts) == results(whole)


@pytest.mark.parametrize("crops_per_image", [0, 1])
def test_differences_are_learnt_and_resume_alike(images, teacher, tmp_path, crops_per_image):
    options: dict[str, Any] = {
        "difference_weight": 1.0,
        "shown": 0.5,
        "precision": "bf16",
        "crops_per_image": crops_per_image,
    }
    whole = distil(images, tmp_path / "whole", teacher=teacher, **options)
    halves = tmp_path / "halves"
    distil(images, halves, teacher=teacher, stop_after=3, **options)
    distil(images, halves, teacher=teacher, resume=True, **options)
    assert results(halves) == results(whole)
    differences = [
        float(row.split(",")[4]) for row in (whole / "loss.csv").read_text().splitlines()[1:]
    ]
    assert all(value > 0 for value in differences)


def test_a_teachers_features_of_other_crops_are_not_taken(images, teacher, tmp_path):
    distil(images, tmp_path, teacher=teacher, crops_per_image=1)
    (tmp_path / STATE_FILE).unlink()
    other = distil(images, tmp_path, teacher=teacher, crops_per_image=1, seed=8)
    fresh = distil(images, tmp_path / "fresh", teacher=teacher, crops_per_image=1, seed=8)
    assert results(other) == results(fresh)


def test_the_record_says_where_the_student_comes_from(uninterrupted, teacher):
    record = json.loads((uninterrupted / "record.json").read_text())
    assert record["teacher"]["sha256"] == teacher.sha256
    assert record["teacher"]["name"] == "tiny"
    (source,) = record["pictures"]["sources"]
    assert (source["seen"], source["used"], source["excluded"]) == (8, 8, 0)
    assert (record["steps"], record["batch"], record["seed"]) == (6, 4, 3)
    assert len(record["pictures"]["sha256"]) == 64
    assert record["seconds"] > 0
    assert record["versions"]["torch"] == torch.__version__


def test_a_run_begins_with_the_student_that_it_is_given(images, teacher, uninterrupted, tmp_path):
    start = uninterrupted / "student.safetensors"
    still: dict[str, Any] = {"learning_rate": 1e-9, "steps": 2}
    out = distil(images, tmp_path / "out", teacher=teacher, start=start, seed=9, **still)
    before, after = (load_file(folder / "student.safetensors") for folder in (uninterrupted, out))
    assert before.keys() == after.keys()
    for name, value in before.items():
        assert torch.equal(value, after[name]), name
    record = json.loads((out / "record.json").read_text())
    assert record["start"] == {"student.safetensors": sha256_of(start)}
    with pytest.raises(PretrainingError, match="start differ"):
        distil(images, tmp_path / "out", teacher=teacher, resume=True, seed=9, **still)


@pytest.mark.parametrize("kind", ["missing", "rubbish", "another shape"])
def test_what_is_no_student_is_no_start(images, teacher, tmp_path, kind):
    start = tmp_path / "start.safetensors"
    if kind == "rubbish":
        start.write_bytes(b"not safetensors")
    if kind == "another shape":
        save_file({"visual.proj": torch.zeros(2, 2)}, start)
    with pytest.raises(PretrainingError, match="no student to start from"):
        distil(images, tmp_path / "out", teacher=teacher, start=start)


@pytest.mark.parametrize("place", [5, 0.5, -1])
def test_a_damaged_checkpoint_is_told(images, teacher, tmp_path, place):
    distil(images, tmp_path, teacher=teacher, steps=2)
    file = tmp_path / STATE_FILE
    data = bytearray(file.read_bytes())
    data[int(place * len(data)) if isinstance(place, float) else place] ^= 0x10
    file.write_bytes(data)
    with pytest.raises(PretrainingError, match="damaged"):
        distil(images, tmp_path, teacher=teacher, steps=2, resume=True)


def test_half_a_checkpoint_is_told(images, teacher, tmp_path):
    distil(images, tmp_path, teacher=teacher, steps=2)
    file = tmp_path / STATE_FILE
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(PretrainingError, match="damaged"):
        distil(images, tmp_path, teacher=teacher, steps=2, resume=True)


def test_another_runs_checkpoint_is_neither_continued_nor_overwritten(images, teacher, tmp_path):
    distil(images, tmp_path, teacher=teacher, steps=2)
    with pytest.raises(PretrainingError, match="settings differ"):
        distil(images, tmp_path, teacher=teacher, steps=3, resume=True)
    with pytest.raises(PretrainingError, match="holds a run already"):
        distil(images, tmp_path, teacher=teacher, steps=2)


def test_resuming_without_a_checkpoint_is_told(images, teacher, tmp_path):
    with pytest.raises(PretrainingError, match="no checkpoint"):
        distil(images, tmp_path, teacher=teacher, resume=True)


def test_the_run_does_not_start_where_an_excluded_picture_would_be_seen(images, teacher, tmp_path):
    pictures = gather_pictures([images], exclusion=read_exclusion([]))
    with pytest.raises(PretrainingError, match="does not start"):
        pretrain(
            pictures,
            exclusion=Exclusion(digests=frozenset({pictures.digests[3]})),
            teacher=teacher,
            settings=SETTINGS,
            folder=tmp_path / "out",
            config=STUDENT,
        )
    assert not (tmp_path / "out").exists()
