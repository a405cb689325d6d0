"""A finding beside what normal looks like there: in the report, and in the picture for the PACS."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from pydicom import dcmread

from mediclip_dicom.results import Device, Findings, NormalPatch, Reading, find, write_results
from mediclip_dicom.results.comparison import patch_box
from mediclip_dicom.settings import ResultKind
from tests.factories import sources
from tests.factories.readings import image_readings, make_reading

KINDS: tuple[ResultKind, ...] = ("SC",)

OTHER_STUDY, OTHER_IMAGE = "1.2.826.0.1.3680043.9.1", "1.2.826.0.1.3680043.9.1.7"


def normal_picture() -> np.ndarray:
    """Green where the patch is, so that it is found in the result; a support image is grey."""
    picture = np.full((224, 224, 3), 60, dtype=np.uint8)
    top, left, bottom, right = patch_box((5, 9), grid=16, side=224)
    picture[top : bottom + 1, left : right + 1] = (0, 200, 0)
    return picture


def patch(finding: int, **changes: object) -> NormalPatch:
    made = NormalPatch(
        finding=finding,
        number=3,
        study=OTHER_STUDY,
        image=OTHER_IMAGE,
        frame=1,
        index=6,
        grid=16,
        peak=(6, 10),
        place=(5, 9),
        distance=0.4123,
        picture=normal_picture(),
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


@pytest.fixture
def reading(tmp_path: Path) -> Reading:
    return make_reading(image_readings(sources.computed_radiograph(tmp_path)))


def compared(reading: Reading, *patches: NormalPatch) -> Findings:
    return dataclasses.replace(find(reading), compared=patches or None)


def test_a_patch_has_the_pixels_of_the_grid() -> None:
    assert patch_box((0, 0), grid=16, side=224) == (0, 0, 13, 13)
    assert patch_box((15, 2), grid=16, side=224) == (210, 28, 223, 41)


def test_the_picture_shows_the_normal_patch_and_names_no_other_patient(
    tmp_path: Path, device: Device, reading: Reading
) -> None:
    objects = write_results(
        reading,
        device=device,
        directory=tmp_path / "out",
        kinds=KINDS,
        findings=compared(reading, patch(1)),
    )
    plain = write_results(
        reading, device=device, directory=tmp_path / "plain", kinds=KINDS, findings=find(reading)
    )
    (shown,) = (dcmread(result.path) for result in objects if result.kind == "SC")
    (before,) = (dcmread(result.path) for result in plain if result.kind == "SC")
    assert shown.Columns > before.Columns + 200
    assert (shown.pixel_array[: before.Rows, : before.Columns] == before.pixel_array).all()
    beside = shown.pixel_array[:, before.Columns :].astype(int)
    green = (beside[..., 1] > 150) & (beside[..., 0] < 60)
    # A field of 7 patches is drawn over 250 pixels.
    assert green.sum() == pytest.approx((250 / 7) ** 2, rel=0.2)
    for result in objects:
        assert OTHER_STUDY.encode() not in result.path.read_bytes()


def test_a_pair_is_drawn_for_each_finding_of_the_image_up_to_three(
    tmp_path: Path, device: Device, reading: Reading
) -> None:
    widths = []
    for count in (1, 2):
        objects = write_results(
            reading,
            device=device,
            directory=tmp_path / str(count),
            kinds=KINDS,
            findings=dataclasses.replace(
                with_second(reading), compared=tuple(patch(n + 1) for n in range(count))
            ),
        )
        (shown,) = (dcmread(result.path) for result in objects if result.kind == "SC")
        widths.append(shown.Columns)
    assert widths[1] - widths[0] > 200


def with_second(reading: Reading) -> Findings:
    """The findings of a reading, its first one twice."""
    findings = find(reading)
    first = findings.reported[0]
    return dataclasses.replace(
        findings, reported=(first, dataclasses.replace(first, number=2, box=(1, 1, 9, 9)))
    )


def test_the_report_says_which_normal_study_a_finding_was_compared_with(
    tmp_path: Path, device: Device, reading: Reading
) -> None:
    path = write_results(
        reading,
        device=device,
        directory=tmp_path / "out",
        findings=compared(reading, patch(1)),
    )[-1].path
    found = hd.sr.utils.find_content_items(
        hd.sr.srread(path), value_type=hd.sr.ValueTypeValues.TEXT, recursive=True
    )
    (text,) = [item.TextValue for item in found if "compared with normal" in item.TextValue]
    assert text == (
        "Finding 1 compared with normal: the nearest patch of the 8 normal studies is in study 3, "
        "image 7 of the support set, row 6, column 10 of 16 x 16 patches (the finding: row 7, "
        "column 11), distance 0.41."
    )


def test_a_picture_that_was_not_kept_is_said_in_its_place(
    tmp_path: Path, device: Device, reading: Reading
) -> None:
    objects = write_results(
        reading,
        device=device,
        directory=tmp_path / "out",
        kinds=KINDS,
        findings=compared(reading, patch(1, picture=None)),
    )
    (shown,) = (dcmread(result.path) for result in objects if result.kind == "SC")
    beside = shown.pixel_array[:, -250:].astype(int)
    assert not ((beside[..., 1] > 150) & (beside[..., 0] < 60)).any()
    assert (beside[340:] > 100).any()
