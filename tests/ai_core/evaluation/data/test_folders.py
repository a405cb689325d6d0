"""Plain folders become a data set whose pool and test part share nothing."""

import shutil
from pathlib import Path

import pytest

from ai_core.errors import EvaluationError
from ai_core.evaluation import from_folder
from tests.ai_core.evaluation.pictures import blob, make_folder, normal_picture, save


def names(items: object) -> list[str]:
    return sorted(item.path.name for item in items)  # type: ignore[attr-defined]


def test_half_of_the_normals_are_the_pool_and_the_rest_is_tested(tmp_path: Path) -> None:
    data = from_folder(make_folder(tmp_path / "brain"))
    assert data.name == "brain"
    assert len(data.pool) == 5
    assert sum(not item.abnormal for item in data.test) == 5
    assert sum(item.abnormal for item in data.test) == 4
    assert not set(names(data.pool)) & set(names(data.test))
    assert "seed 0" in data.made
    assert names(from_folder(tmp_path / "brain").pool) == names(data.pool)


def test_several_masks_belong_to_one_picture_and_are_no_pictures(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    save(folder / "abnormal" / "a100_mask_1.png", blob(5) * 255)
    save(folder / "abnormal" / "a10.png", blob(6) * 255)
    by_name = {item.path.name: item for item in from_folder(folder).test}
    assert [path.name for path in by_name["a100.png"].masks] == ["a100_mask.png", "a100_mask_1.png"]
    assert by_name["a10.png"].masks == ()
    assert sum(item.abnormal for item in by_name.values()) == 5


def test_a_pool_folder_is_the_pool_and_every_normal_is_tested(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    for number in range(50, 53):
        normal_picture(folder / "pool" / f"p{number}.png", number)
    data = from_folder(folder)
    assert names(data.pool) == ["p50.png", "p51.png", "p52.png"]
    assert sum(not item.abnormal for item in data.test) == 10


def test_a_copy_of_a_pool_picture_is_never_tested(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    normal_picture(folder / "pool" / "p.png", 3)
    shutil.copy(folder / "normal" / "n04.png", folder / "normal" / "zz-again.png")
    data = from_folder(folder)
    assert "n03.png" not in names(data.test)
    assert "zz-again.png" not in names(data.test)
    assert "2 files left out as copies" in data.made


def test_published_split_sizes_keep_copies_and_test_all_of_them(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    shutil.copy(folder / "normal" / "n04.png", folder / "normal" / "zz-again.png")
    data = from_folder(folder, test_normal=7, test_abnormal=3, keep_repeats=True)
    assert len(data.pool) == 4
    assert {"n04.png", "zz-again.png"} <= set(names(data.test))
    assert sum(item.abnormal for item in data.test) == 3


def test_more_pictures_than_there_are_cannot_be_tested(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    with pytest.raises(EvaluationError, match="has 10 normal pictures, of which 10 are to be"):
        from_folder(folder, test_normal=10)
    with pytest.raises(EvaluationError, match="has 4 abnormal pictures, and 5 are to be tested"):
        from_folder(folder, test_abnormal=5)


def test_missing_and_empty_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"no folder .*normal"):
        from_folder(tmp_path)
    (tmp_path / "normal").mkdir()
    (tmp_path / "abnormal").mkdir()
    with pytest.raises(EvaluationError, match=r"normal holds no pictures"):
        from_folder(tmp_path)
