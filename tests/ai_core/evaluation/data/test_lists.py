"""CSV tables and split files say what is what; what contradicts itself is refused."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from ai_core.errors import EvaluationError
from ai_core.evaluation import from_csv, from_split
from tests.ai_core.evaluation.pictures import make_folder


def write_csv(folder: Path, header: str, *rows: str) -> Path:
    path = folder / "data.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_groups_of_a_table_never_part(tmp_path: Path) -> None:
    make_folder(tmp_path)
    rows = [f"normal/n{n:02d}.png,normal,,patient-{n // 2}" for n in range(10)]
    rows.append("abnormal/a100.png,abnormal,abnormal/a100_mask.png;abnormal/a101_mask.png,z")
    rows.append("abnormal/a101.png,1,,patient-0")
    data = from_csv(write_csv(tmp_path, "path,label,mask,group", *rows))
    pool = {item.group for item in data.pool}
    tested = {item.group for item in data.test}
    assert len(data.pool) == 4
    assert not pool & tested
    assert "patient-0" in tested
    by_name = {item.path.name: item for item in data.test}
    assert len(by_name["a100.png"].masks) == 2


def test_a_subset_column_parts_the_table(tmp_path: Path) -> None:
    make_folder(tmp_path)
    rows = ["normal/n00.png,0,pool", "normal/n01.png,0,test", "normal/n02.png,0,dev"]
    rows += ["abnormal/a100.png,1,test", "abnormal/a101.png,1,dev"]
    data = from_csv(write_csv(tmp_path, "path,label,subset", *rows))
    assert [len(part) for part in (data.pool, data.subset("test"), data.subset("dev"))] == [1, 2, 2]


@pytest.mark.parametrize(
    ("header", "row", "said"),
    [
        ("file,label", "x.png,0", "has no column path"),
        ("path,label", "none.png,0", r"line 2: there is no file .*none\.png"),
        ("path,label", "normal/n00.png,ill", "label 'ill' is neither normal nor abnormal"),
        ("path,label,subset", "normal/n00.png,0,train", "subset 'train' is none of pool, dev"),
        ("path,label,mask", "normal/n00.png,0,normal/n01.png", "a normal picture has a mask"),
        ("path,label,subset", "abnormal/a100.png,1,pool", "pool holds abnormal pictures"),
    ],
)
def test_what_means_nothing_is_told_with_its_line(
    tmp_path: Path, header: str, row: str, said: str
) -> None:
    make_folder(tmp_path)
    with pytest.raises(EvaluationError, match=said):
        from_csv(write_csv(tmp_path, header, row))


def test_an_empty_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="no rows below its header"):
        from_csv(write_csv(tmp_path, "path,label"))


def test_a_group_in_pool_and_test_is_refused(tmp_path: Path) -> None:
    make_folder(tmp_path)
    rows = ["normal/n00.png,0,pool,p", "normal/n01.png,0,test,p"]
    with pytest.raises(EvaluationError, match="1 pictures of the training pool are tested"):
        from_csv(write_csv(tmp_path, "path,label,subset,group", *rows))


def split_values(supports: dict[str, list[str]] | None = None) -> dict[str, object]:
    return {
        "pool_normal": [f"normal/n{n:02d}.png" for n in range(20)],
        "test_normal": ["normal/n20.png"],
        "test_abnormal": ["abnormal/a100.png"],
        "support_k16_seeds": supports or {},
    }


def test_a_split_names_its_supports_of_16_and_the_rest_is_drawn(tmp_path: Path) -> None:
    make_folder(tmp_path, normals=21)
    named = [f"normal/n{n:02d}.png" for n in range(16)]
    file = tmp_path / "split.json"
    file.write_text(json.dumps(split_values({"1": named})))
    data = from_split(file, root=tmp_path)
    assert [item.path.name for item in data.support(16, 1)] == [Path(one).name for one in named]
    drawn = data.support(16, 0)
    assert len({item.path for item in drawn}) == 16
    assert data.support(4, 0) == drawn[:4]
    assert data.support(4, 1) != drawn[:4]
    assert [len(item.masks) for item in data.test] == [0, 1]
    with pytest.raises(EvaluationError, match="no dev pictures"):
        data.subset("dev")


def test_k_beyond_the_pool_is_refused(tmp_path: Path) -> None:
    make_folder(tmp_path, normals=21)
    file = tmp_path / "split.json"
    file.write_text(json.dumps(split_values()))
    with pytest.raises(EvaluationError, match="k = 32, but data set 'split' has only 20 normal"):
        from_split(file, root=tmp_path).support(32, 0)


def test_a_wrong_root_and_a_wrong_support_are_told(tmp_path: Path) -> None:
    make_folder(tmp_path, normals=21)
    file = tmp_path / "split.json"
    file.write_text(json.dumps(split_values()))
    with pytest.raises(EvaluationError, match="is --root right"):
        from_split(file, root=tmp_path / "normal")
    file.write_text(json.dumps(split_values({"0": ["normal/n20.png"] * 16})))
    with pytest.raises(EvaluationError, match="must name 16 pictures of pool_normal"):
        from_split(file, root=tmp_path)
    file.write_text("[1]")
    with pytest.raises(EvaluationError, match="can't be read as a split file"):
        from_split(file, root=tmp_path)


def test_the_real_splits_are_read(shared_data: Path) -> None:
    data = from_split(shared_data / "splits" / "busi.json", root=shared_data)
    assert (len(data.pool), len(data.test), len(data.dev)) == (32, 535, 213)
    assert all(item.masks for item in data.test if item.abnormal)
    assert len(data.support(16, 2)) == 16


def copy_as_bmp(source: Path, target: Path) -> Path:
    with Image.open(source) as picture:
        picture.convert("RGB").save(target)
    return target


def test_a_copy_under_another_name_never_parts_from_its_picture(tmp_path: Path) -> None:
    make_folder(tmp_path)
    for n in range(10):
        copy_as_bmp(tmp_path / f"normal/n{n:02d}.png", tmp_path / f"normal/copy{n}.bmp")
    rows = [f"normal/n{n:02d}.png,normal" for n in range(10)]
    rows += [f"normal/copy{n}.bmp,normal" for n in range(10)]
    rows += ["abnormal/a100.png,abnormal"]
    data = from_csv(write_csv(tmp_path, "path,label", *rows))
    pool = {item.path.stem[-1] for item in data.pool}
    assert len(data.pool) == 2 * len(pool) == 10
    assert not pool & {item.path.stem[-1] for item in data.test if not item.abnormal}


def test_groups_that_share_a_picture_are_one(tmp_path: Path) -> None:
    make_folder(tmp_path)
    shutil.copy(tmp_path / "normal/n00.png", tmp_path / "normal/again.png")
    shutil.copy(tmp_path / "normal/n01.png", tmp_path / "abnormal/wrong.png")
    rows = [f"normal/n{n:02d}.png,normal,p{n // 2}" for n in range(10)]
    rows += ["normal/again.png,normal,p4", "abnormal/wrong.png,abnormal,z"]
    data = from_csv(write_csv(tmp_path, "path,label,group", *rows))
    tested = {item.group for item in data.test}
    assert {"p0", "p4", "z"} <= tested  # n01 of p0 is called abnormal elsewhere
    assert not tested & {item.group for item in data.pool}


def test_a_copy_in_given_parts_is_refused_with_both_names(tmp_path: Path) -> None:
    make_folder(tmp_path)
    copy_as_bmp(tmp_path / "normal/n01.png", tmp_path / "normal/copy.bmp")
    rows = ["normal/n00.png,0,pool", "normal/n01.png,0,pool", "normal/copy.bmp,0,test"]
    rows += ["abnormal/a100.png,1,test"]
    with pytest.raises(EvaluationError, match=r"1 pictures .* copies .*n01\.png.*copy\.bmp"):
        from_csv(write_csv(tmp_path, "path,label,subset", *rows))
    split = {
        "pool_normal": ["normal/n01.png"],
        "test_normal": ["normal/copy.bmp"],
        "test_abnormal": ["abnormal/a100.png"],
    }
    (tmp_path / "split.json").write_text(json.dumps(split))
    with pytest.raises(EvaluationError, match="copies of tested ones"):
        from_split(tmp_path / "split.json", root=tmp_path)
