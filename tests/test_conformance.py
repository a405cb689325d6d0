"""docs/conformance.md says what the code negotiates and writes, no more and no less."""

from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from listener import (
    IMAGE_SOP_CLASSES,
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    Permission,
    supported_contexts,
    transfer_syntaxes,
)
from mediclip_dicom.results import Device, multiframe, write_results
from mediclip_dicom.results.identity import SERIES_NUMBERS
from mediclip_dicom.settings import PROFILES, ResultKind
from tests.factories import sources
from tests.factories.readings import image_readings, make_reading

STATEMENT = (Path(__file__).parent.parent / "docs" / "conformance.md").read_text(encoding="utf-8")
DEVICE = Device(
    uid="2.25.1", name="n", manufacturer="m", model="m", serial="1", software_version="0"
)


def table(name: str) -> list[list[str]]:
    """The rows of the table that follows a mark in the statement."""
    _, found, rest = STATEMENT.partition(f"<!-- table: {name} -->\n")
    assert found, f"the statement has no table {name}"
    lines = [line for line in rest.split("\n\n", 1)[0].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def as_rows(uids: object) -> list[list[str]]:
    return [[UID(uid).name, str(uid)] for uid in uids]  # type: ignore[attr-defined]


def test_the_storage_scp_takes_the_classes_that_it_says() -> None:
    assert table("storage SCP") == as_rows(IMAGE_SOP_CLASSES)


def test_the_storage_scp_takes_the_transfer_syntaxes_that_it_says_in_that_order() -> None:
    assert table("transfer syntaxes") == as_rows(transfer_syntaxes())
    storage = [
        context
        for context in supported_contexts(frozenset({Permission.STORE}))
        if context.abstract_syntax in IMAGE_SOP_CLASSES
    ]
    assert len(storage) == len(IMAGE_SOP_CLASSES)
    for context in storage:
        assert tuple(context.transfer_syntax or ()) == transfer_syntaxes()


def test_the_results_are_of_the_classes_and_encodings_that_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: set[tuple[str, str, str, str]] = set()
    images = [image for path in sources.mr_series(tmp_path) for image in image_readings(path)]
    for limit in (multiframe.DEFLATE_ABOVE_BYTES, 0):
        monkeypatch.setattr(multiframe, "DEFLATE_ABOVE_BYTES", limit)
        for result in write_results(
            make_reading(images),
            device=DEVICE,
            directory=tmp_path / str(limit),
            kinds=tuple(SERIES_NUMBERS),
        ):
            dataset = dcmread(result.path)
            written.add(
                (
                    result.kind,
                    UID(result.sop_class_uid).name,
                    result.sop_class_uid,
                    dataset.file_meta.TransferSyntaxUID.name,
                )
            )
    stated = {
        (kind, name, uid, syntax)
        for kind, name, uid, _, syntaxes in table("results")
        for syntax in syntaxes.split(", ")
    }
    assert written == stated
    assert {row[0]: int(row[3]) for row in table("results")} == dict(SERIES_NUMBERS)
    assert DeflatedExplicitVRLittleEndian.name in {syntax for *_, syntax in stated}


def test_the_profiles_are_those_that_it_says() -> None:
    stated: dict[str, tuple[str, ...]] = {
        row[0].strip("`"): tuple(row[1].split(", ")) for row in table("profiles")
    }
    code: dict[str, tuple[ResultKind, ...]] = dict(PROFILES)
    assert stated == code


def test_the_implementation_names_itself_as_it_says() -> None:
    assert f"`{IMPLEMENTATION_CLASS_UID}`" in STATEMENT
    assert f"`{IMPLEMENTATION_VERSION_NAME}`" in STATEMENT
