"""Names in the spool: which version of an instance is the newest, and which files are instances."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from blake3 import blake3

from listener.spool.layout import (
    InstanceFile,
    content_digest,
    newest,
    oldest,
    utc,
    versions_in,
)

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
A, B, C = ("a" * 64, "b" * 64, "c" * 64)


def version(digest: str, *, minute: int = 0, sop: str = "1.2.3.1.5") -> InstanceFile:
    return InstanceFile(
        sop_instance_uid=sop,
        series_instance_uid="1.2.3.1",
        digest=digest,
        path=Path("/spool") / f"{sop}.{digest}.dcm",
        size=100,
        received_at=NOON + timedelta(minutes=minute),
    )


def test_the_newest_and_the_oldest_version_by_the_time_of_receipt() -> None:
    versions = [version(B, minute=1), version(A, minute=2), version(C)]
    assert newest(versions).digest == A
    assert oldest(versions).digest == C


def test_the_digest_decides_between_versions_of_one_moment() -> None:
    versions = [version(B), version(A), version(C)]
    assert newest(versions).digest == C
    assert oldest(versions).digest == A


def test_the_content_digest_is_that_of_every_release() -> None:
    instances = [version(B, sop="1.2.4"), version(A, sop="1.2.3")]
    expected = blake3(f"1.2.3 {A}\n1.2.4 {B}\n".encode()).hexdigest()
    assert content_digest(instances) == expected
    assert content_digest(reversed(instances)) == expected


def put(study: Path, name: str, *, series: str = "1.2.3.1", size: int = 3, at: int = 0) -> Path:
    path = study / series / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    os.utime(path, ns=(at, at))
    return path


def test_an_instance_is_known_by_the_names_of_its_file_and_folder(tmp_path: Path) -> None:
    path = put(tmp_path, f"1.2.3.1.5.{A}.dcm", size=17, at=1_500_000_000_123_456_789)
    assert versions_in(tmp_path) == (
        InstanceFile(
            sop_instance_uid="1.2.3.1.5",
            series_instance_uid="1.2.3.1",
            digest=A,
            path=path,
            size=17,
            received_at=datetime(2017, 7, 14, 2, 40, 0, 123456, tzinfo=UTC),
        ),
    )


@pytest.mark.parametrize(
    "name",
    [
        f"1.2.3.1.5.{A}",
        f"1.2.3.1.5.{A}.tmp",
        f"1.2.3.1.5.{A[:-1]}.dcm",
        f"1.2.3.1.5.{A}a.dcm",
        f"nonsense.{A}.dcm",
        f"{A}.dcm",
        "1.2.3.1.5.dcm",
    ],
)
def test_a_file_of_another_name_is_no_instance(tmp_path: Path, name: str) -> None:
    put(tmp_path, name)
    assert versions_in(tmp_path) == ()


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    target = put(tmp_path, "large", size=1000)
    (tmp_path / "1.2.3.1" / f"1.2.3.1.5.{A}.dcm").symlink_to(target)
    (found,) = versions_in(tmp_path)
    assert found.size != 1000
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "1.2.3.2").symlink_to(tmp_path / "1.2.3.1")
    assert versions_in(tmp_path / "study") == ()


def test_versions_are_in_the_order_of_uid_time_series_and_digest(tmp_path: Path) -> None:
    names = [("1.2.5", 1, "9.1", A), ("1.2.4", 3, "9.1", A), ("1.2.4", 2, "9.2", A)]
    names += [("1.2.4", 2, "9.1", C), ("1.2.4", 2, "9.1", B)]
    for sop, at, series, digest in names:
        put(tmp_path, f"{sop}.{digest}.dcm", series=series, at=at * 1_000_000)
    found = [
        (v.sop_instance_uid, v.received_at.microsecond // 1000, v.series_instance_uid, v.digest)
        for v in versions_in(tmp_path)
    ]
    assert found == sorted(names)


def test_a_study_that_is_not_there_has_no_versions(tmp_path: Path) -> None:
    assert versions_in(tmp_path / "none") == ()


def test_a_time_of_receipt_is_cut_to_microseconds_in_utc() -> None:
    assert utc(1_500_000_000_999_999_999) == datetime(2017, 7, 14, 2, 40, 0, 999_999, tzinfo=UTC)
    assert utc(1_500_000_000_000_000_999).microsecond == 0
    assert utc(1_500_000_000_000_000_000).tzinfo is UTC
