"""The report says what was read, by what, and what came of it, in words and in codes."""

import dataclasses
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import highdicom as hd
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from mediclip_dicom.results import LEFT_OUT, Device, PreviousReport, Reading, write_results
from tests.factories import sources
from tests.factories.readings import image_readings, make_reading, without_marks
from tests.factories.reports import measurements, read_report

NORMALITY = hd.sr.CodedConcept("121402", "DCM", "Normality")


def report_of(reading: Reading, device: Device, folder: Path) -> hd.sr.Comprehensive3DSR:
    return read_report(write_results(reading, device=device, directory=folder)[-1].path)


def texts(report: Dataset, name: str) -> list[str]:
    found = hd.sr.utils.find_content_items(
        report, value_type=hd.sr.ValueTypeValues.TEXT, recursive=True
    )
    return [item.TextValue for item in found if item.name.meaning == name]


@pytest.fixture
def mr_reading(tmp_path: Path) -> Reading:
    images = [image for path in sources.mr_series(tmp_path) for image in image_readings(path)]
    return make_reading(
        [image if number == 2 else without_marks(image) for number, image in enumerate(images)]
    )


def test_the_study_group_holds_the_score_the_verdict_and_the_algorithm(
    tmp_path: Path, device: Device, mr_reading: Reading
) -> None:
    report = report_of(mr_reading, device, tmp_path / "out")

    (group,) = measurements(report).get_image_measurement_groups()
    (score,) = group.get_measurements()
    assert score.name.value == "ANOMALY_SCORE"
    assert score.name.scheme_designator == "99MEDICLIP"
    assert score.value == pytest.approx(0.95)
    assert score.unit.value == "1"
    (normality,) = group.get_qualitative_evaluations(NORMALITY)
    assert isinstance(normality.value, hd.sr.CodedConcept)
    assert normality.value.value == "263654008"
    parameters = texts(report, "Algorithm Parameters")
    for expected in (
        "task_version=3",
        "k=8",
        "preset=paper",
        "operating_point=0.5",
        "p_value=0.111111",
        "backbone=ViT-L-14/openai",
        f"weights_sha256={'cd' * 32}",
        "software_version=0.1.0",
    ):
        assert expected in parameters
    (scheme,) = report.CodingSchemeIdentificationSequence
    assert scheme.CodingSchemeDesignator == "99MEDICLIP"


def test_the_first_sentence_says_it_all(
    tmp_path: Path, device: Device, mr_reading: Reading
) -> None:
    report = report_of(
        dataclasses.replace(mr_reading, false_positive_rate=0.1, k=16, p_value=0.02),
        device,
        tmp_path / "out",
    )
    first, second, *_ = texts(report, "Comment")
    assert first == (
        "Abnormal, p = 0.02 (10 % operating point, 16 normals; extrapolated). 2 findings; largest "
        "0.88 cm3, slice 3."
    )
    assert second.startswith("Finding 1: 0.88 cm3, slice 3, 21 x 18 mm on image 3, ")


@pytest.mark.parametrize(("p_value", "extrapolated"), [(0.12, False), (1 / 9, False), (0.1, True)])
def test_a_p_value_that_no_counting_reaches_is_marked_in_words_and_in_codes(
    tmp_path: Path,
    device: Device,
    mr_reading: Reading,
    dciodvfy_errors: Callable[[Path], list[str]],
    p_value: float,
    extrapolated: bool,
) -> None:
    reading = dataclasses.replace(
        mr_reading,
        k=8,
        p_value=p_value,
        p_value_of=lambda score: p_value * (1 if score > 0.9 else 2),
    )
    path = write_results(reading, device=device, directory=tmp_path / "out")[-1].path
    assert dciodvfy_errors(path) == []
    report = read_report(path)
    first, *others = texts(report, "Comment")
    assert ("; extrapolated)" in first) == extrapolated
    assert any("below 1/9 = 0.11 are extrapolated" in text for text in others) == extrapolated
    strong, weak = (text for text in others if text.startswith("Finding "))
    assert strong.endswith(" (extrapolated).") == extrapolated
    assert "extrapolated" not in weak
    origin = hd.sr.CodedConcept("P_VALUE_ORIGIN", "99MEDICLIP", "Origin of the p-value")
    found = measurements(report)
    groups = [
        *found.get_image_measurement_groups(),
        *found.get_volumetric_roi_measurement_groups(),
    ]
    codes_of = [
        [item.value.value for item in group.get_qualitative_evaluations(origin)]  # type: ignore[union-attr]
        for group in groups
    ]
    assert codes_of == ([["EXTRAPOLATED"]] * 2 if extrapolated else [[], []]) + [[]]


def test_a_finding_in_a_series_has_a_volumetric_group_with_its_measurements(
    tmp_path: Path, device: Device, mr_reading: Reading
) -> None:
    reading = dataclasses.replace(mr_reading, p_value_of=lambda score: round(1 - score, 6))
    objects = write_results(reading, device=device, directory=tmp_path / "out")
    seg, report = hd.seg.segread(objects[0].path), read_report(objects[1].path)
    groups = measurements(report).get_volumetric_roi_measurement_groups()
    assert len(groups) == 2
    assert measurements(report).get_planar_roi_measurement_groups() == []
    volumes = []
    key = mr_reading.images[2].header.sop_instance_uid
    for number, group in enumerate(groups, start=1):
        (item,) = hd.sr.utils.find_content_items(group[0], name=codes.DCM.ReferencedSegment)
        reference = item.ReferencedSOPSequence[0]
        assert reference.ReferencedSegmentNumber == number
        assert reference.ReferencedSOPInstanceUID == seg.SOPInstanceUID
        assert group.tracking_uid == seg.SegmentSequence[number - 1].TrackingUID
        assert group.tracking_identifier == seg.SegmentSequence[number - 1].TrackingID
        assert group.finding_type == codes.SCT.Lesion
        volume, long_axis, short_axis, peak, p_value = group.get_measurements()
        assert volume.name == codes.SCT.Volume
        assert volume.unit == codes.UCUM.CubicMillimeter
        assert long_axis.name == codes.SCT.LongAxis
        assert short_axis.name == codes.SCT.ShortAxis
        assert long_axis.value >= short_axis.value > 0
        (image,) = long_axis.referenced_images
        assert image.referenced_sop_instance_uid == key
        assert p_value.value == pytest.approx(1 - peak.value, abs=1e-5)
        # Slices are 4 mm apart, and a pixel is 1.5 by 1.25 mm.
        mask = seg.get_pixels_by_source_instance([key], segment_numbers=[number])
        assert volume.value == pytest.approx(mask.sum() * 1.5 * 1.25 * 4, rel=1e-3)
        volumes.append(volume.value)
    assert volumes[0] > volumes[1]


def test_a_finding_on_one_image_points_to_its_frame_of_the_segmentation(
    tmp_path: Path, device: Device
) -> None:
    path = sources.computed_radiograph(tmp_path, ImagerPixelSpacing=[0.9, 0.9])
    reading = make_reading(image_readings(path))
    objects = write_results(reading, device=device, directory=tmp_path / "out")
    seg, report = hd.seg.segread(objects[0].path), read_report(objects[1].path)
    groups = measurements(report).get_planar_roi_measurement_groups()
    assert len(groups) == 2
    for number, group in enumerate(groups, start=1):
        (item,) = hd.sr.utils.find_content_items(
            group[0], name=hd.sr.CodedConcept("121214", "DCM", "Referenced Segmentation Frame")
        )
        reference = item.ReferencedSOPSequence[0]
        assert reference.ReferencedSOPInstanceUID == seg.SOPInstanceUID
        frame = seg.PerFrameFunctionalGroupsSequence[int(reference.ReferencedFrameNumber) - 1]
        assert frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber == number
        area, *_ = group.get_measurements()
        assert area.name == codes.SCT.Area
        mask = seg.pixel_array[int(reference.ReferencedFrameNumber) - 1]
        spacing = reading.images[0].header.pixel_spacing
        assert spacing is not None
        assert area.value == pytest.approx(mask.sum() * spacing[0] * spacing[1], rel=1e-3)


def test_the_image_library_holds_the_key_images(
    tmp_path: Path, device: Device, mr_reading: Reading
) -> None:
    report = report_of(mr_reading, device, tmp_path / "out")
    (library,) = hd.sr.utils.find_content_items(report, name=codes.DCM.ImageLibrary, recursive=True)
    images = hd.sr.utils.find_content_items(
        library, value_type=hd.sr.ValueTypeValues.IMAGE, recursive=True
    )
    assert [item.referenced_sop_instance_uid for item in images] == [
        mr_reading.images[2].header.sop_instance_uid
    ]


def test_what_was_left_out_on_purpose_is_apart_from_what_could_not_be_read(
    tmp_path: Path, device: Device, mr_reading: Reading
) -> None:
    images = list(mr_reading.images)
    for number, reason in ((0, f"{LEFT_OUT}localizer"), (1, "cannot be decoded")):
        images[number] = dataclasses.replace(
            images[number], score=None, map=None, placement=None, skipped=reason
        )
    reading = dataclasses.replace(mr_reading, images=tuple(images))
    comments = texts(report_of(reading, device, tmp_path / "out"), "Comment")
    assert f"Left out on purpose (1), localizer: {images[0].header.sop_instance_uid}" in comments
    assert f"Not analysed (1), cannot be decoded: {images[1].header.sop_instance_uid}" in comments


def test_a_radiograph_of_unknown_spacing_has_regions_in_pixels(
    tmp_path: Path, device: Device
) -> None:
    path = sources.computed_radiograph(tmp_path, ImagerPixelSpacing=None)
    report = report_of(make_reading(image_readings(path)), device, tmp_path / "out")
    groups = measurements(report).get_planar_roi_measurement_groups()
    assert groups
    for group in groups:
        assert group.get_measurements()[0].unit.value == "{pixels}"


@pytest.mark.parametrize(
    ("verdict", "code"),
    [("abnormal", "263654008"), ("normal", "17621005"), ("undetermined", "371934000")],
)
def test_each_verdict_has_its_code(
    tmp_path: Path,
    device: Device,
    mr_reading: Reading,
    dciodvfy_errors: Callable[[Path], list[str]],
    verdict: str,
    code: str,
) -> None:
    reading = dataclasses.replace(mr_reading, verdict=verdict)
    path = write_results(reading, device=device, directory=tmp_path / "out")[-1].path
    assert dciodvfy_errors(path) == []
    (group,) = measurements(read_report(path)).get_image_measurement_groups()
    (normality,) = group.get_qualitative_evaluations(NORMALITY)
    assert isinstance(normality.value, hd.sr.CodedConcept)
    assert normality.value.value == code


def test_a_study_of_which_nothing_could_be_read_still_gets_a_report_that_says_why(
    tmp_path: Path, device: Device, dciodvfy_errors: Callable[[Path], list[str]]
) -> None:
    images = [
        dataclasses.replace(image, score=None, map=None, placement=None, skipped="cannot decode")
        for path in sources.mr_series(tmp_path, slices=3)
        for image in image_readings(path)
    ]
    reading = make_reading(
        images, verdict="undetermined", score=None, p_value=None, operating_point=None
    )
    (result,) = write_results(reading, device=device, directory=tmp_path / "out")
    assert dciodvfy_errors(result.path) == []
    comments = texts(hd.sr.srread(result.path), "Comment")
    (skipped,) = [text for text in comments if text.startswith("Not analysed (3), cannot decode")]
    assert all(image.header.sop_instance_uid in skipped for image in images)
    assert any("0 of 3 frames analysed" in text for text in comments)


def test_an_untrained_backbone_is_named_as_such(
    tmp_path: Path, device: Device, mr_reading: Reading
) -> None:
    reading = dataclasses.replace(mr_reading, backbone_trained=False)
    objects = write_results(reading, device=device, directory=tmp_path / "out")
    assert "backbone=untrained" in texts(hd.sr.srread(objects[1].path), "Algorithm Parameters")
    algorithm = dcmread(objects[0].path).SegmentSequence[0]
    algorithm = algorithm.SegmentationAlgorithmIdentificationSequence[0]
    assert "backbone=untrained" in algorithm.AlgorithmParameters.split(",")


def test_the_report_is_preliminary_unverified_complete_and_lists_all_evidence(
    tmp_path: Path, device: Device, mr_reading: Reading
) -> None:
    report = report_of(mr_reading, device, tmp_path / "out")
    assert (report.VerificationFlag, report.PreliminaryFlag, report.CompletionFlag) == (
        "UNVERIFIED",
        "PRELIMINARY",
        "COMPLETE",
    )
    (item,) = report.CurrentRequestedProcedureEvidenceSequence
    listed = {
        reference.ReferencedSOPInstanceUID
        for series in item.ReferencedSeriesSequence
        for reference in series.ReferencedSOPSequence
    }
    images = {image.header.sop_instance_uid for image in mr_reading.images}
    assert images < listed
    assert len(listed) == len(images) + 1
    (request,) = report.ReferencedRequestSequence
    assert request.AccessionNumber == "ACC1"
    assert report.AccessionNumber == "ACC1"


def test_a_revision_names_the_report_before_it(
    tmp_path: Path,
    device: Device,
    mr_reading: Reading,
    dciodvfy_errors: Callable[[Path], list[str]],
) -> None:
    before = write_results(mr_reading, device=device, directory=tmp_path / "out")[-1]
    revised = dataclasses.replace(
        mr_reading,
        revision=2,
        study_content_digest="01" * 32,
        predecessor=PreviousReport(
            sop_class_uid=before.sop_class_uid,
            sop_instance_uid=before.sop_instance_uid,
            series_instance_uid=before.series_instance_uid,
        ),
    )
    after = write_results(revised, device=device, directory=tmp_path / "out")[-1]
    assert after.sop_instance_uid != before.sop_instance_uid
    assert dciodvfy_errors(after.path) == []
    (item,) = dcmread(after.path).PredecessorDocumentsSequence
    reference = item.ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert reference.ReferencedSOPInstanceUID == before.sop_instance_uid


def test_our_device_is_observer_and_contributing_equipment(
    tmp_path: Path, device: Device, mr_reading: Reading
) -> None:
    for result in write_results(mr_reading, device=device, directory=tmp_path / "out"):
        written = dcmread(result.path)
        uids = [item.get("DeviceUID") for item in written.ContributingEquipmentSequence]
        assert device.uid in uids
    (context,) = measurements(read_report(result.path)).get_observer_contexts()
    observer = context.observer_identifying_attributes
    assert isinstance(observer, hd.sr.DeviceObserverIdentifyingAttributes)
    assert observer.uid == device.uid


def test_dcmtk_reads_the_report_as_text(
    tmp_path: Path, device: Device, mr_reading: Reading
) -> None:
    program = shutil.which("dsrdump")
    if program is None:
        pytest.skip("dsrdump of DCMTK is not installed")
    path = write_results(mr_reading, device=device, directory=tmp_path / "out")[-1].path
    done = subprocess.run([program, "+Pl", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert '"Normality")=(263654008,SCT,"Abnormal")' in done.stdout
    assert "Not for diagnostic use" in done.stdout
    assert "E:" not in done.stderr
