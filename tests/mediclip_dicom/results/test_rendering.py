"""The report as a person reads it: rendered by DCMTK, names of every script in it."""

import dataclasses
import html
import re
import subprocess
from pathlib import Path

import pytest

from mediclip_dicom.results import Device, Reading, write_results
from tests.factories import modalities, sources
from tests.factories.readings import image_readings, make_reading


def rendered(reading: Reading, device: Device, folder: Path, dcmtk: Path, *options: str) -> bytes:
    """The report as HTML by DCMTK's dsr2html."""
    report = write_results(reading, device=device, directory=folder / "out")[-1].path
    page = folder / "report.html"
    done = subprocess.run(
        [dcmtk / "dsr2html", "+Cn", *options, report, page],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "E:" not in done.stderr
    return page.read_bytes()


def words(page: str) -> str:
    """The text of a page in one line, without its tags."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())


def test_a_person_reads_what_was_analysed_by_what_and_what_came_of_it(
    tmp_path: Path, device: Device, dcmtk: Path
) -> None:
    images = [image for path in sources.mr_series(tmp_path) for image in image_readings(path)]
    images[4] = dataclasses.replace(
        images[4], score=None, map=None, placement=None, skipped="cannot be decoded"
    )
    text = words(rendered(make_reading(images), device, tmp_path, dcmtk, "+U8").decode())
    for expected in (
        "Patient Test",
        "Procedure reported",
        "Magnetic Resonance Imaging",
        "Not for diagnostic use. 4 of 5 frames analysed by task brain-mr version 3, fitted on 8 "
        "normal studies. The anomaly score is no probability.",
        "4 of 5 frames of series 1 (MR, MR synthetic) analysed",
        "Operating point 0.5, meant to mark at most 0.05 of normal studies.",
        "Verdict: abnormal. Anomaly score of the study 0.95, p-value 0.111 against",
        "Abnormal",
        "mm3",
        "Not analysed (1), cannot be decoded",
        "software_version=0.1.0",
    ):
        assert expected in text, expected


def test_where_the_detector_cannot_tell_the_report_says_so(
    tmp_path: Path, device: Device, dcmtk: Path
) -> None:
    reading = make_reading(
        image_readings(sources.computed_radiograph(tmp_path)),
        verdict="undetermined",
        operating_point=None,
    )
    text = words(rendered(reading, device, tmp_path, dcmtk, "+U8").decode())
    assert "Normality Undetermined" in text
    assert "no operating point, so nothing is marked" in text


def test_sizes_at_the_detector_are_told_from_sizes_in_the_patient(
    tmp_path: Path, device: Device, dcmtk: Path
) -> None:
    at_detector = image_readings(sources.computed_radiograph(tmp_path))
    text = words(rendered(make_reading(at_detector), device, tmp_path, dcmtk, "+U8").decode())
    assert "Areas and diameters are those at the detector" in text
    in_patient = image_readings(modalities.digital_radiograph(tmp_path, PixelSpacing=[0.15, 0.15]))
    text = words(rendered(make_reading(in_patient), device, tmp_path, dcmtk, "+U8").decode())
    assert "Areas and diameters are those at the detector" not in text
    assert "mm2" in text


@pytest.mark.parametrize(
    ("character_set", "name", "codec", "options", "expected"),
    [
        # DCMTK shows the first of a Japanese name's three forms; the object has all of them
        # (test_writing.py). A name whose first form is in kanji comes out as it went in.
        (
            ["", "ISO 2022 IR 87"],
            "Yamada^Tarou=山田^太郎=やまだ^たろう",
            "iso2022_jp",
            (),
            "Tarou Yamada",
        ),
        (["", "ISO 2022 IR 87"], "山田^太郎", "iso2022_jp", (), "山田"),
        ("ISO_IR 192", "محمد^علي", "utf-8", ("+U8",), "محمد"),
        ("ISO_IR 127", "محمد^علي", "utf-8", ("+U8",), "محمد"),
        ("ISO_IR 100", "Müller^Jürgen", "utf-8", ("+U8",), "Müller"),
    ],
)
def test_names_survive_in_the_rendered_report(
    tmp_path: Path,
    device: Device,
    dcmtk: Path,
    character_set: str | list[str],
    name: str,
    codec: str,
    options: tuple[str, ...],
    expected: str,
) -> None:
    path = sources.computed_radiograph(
        tmp_path, SpecificCharacterSet=character_set, PatientName=name
    )
    reading = make_reading(image_readings(path))
    page = rendered(reading, device, tmp_path, dcmtk, *options)
    assert expected in page.decode(codec)
