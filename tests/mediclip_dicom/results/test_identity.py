"""The identity of a result object: its UID, its series, the words of its maker, its moment."""

from __future__ import annotations

import dataclasses
import uuid
from datetime import datetime
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from mediclip_dicom.results import Device, Reading, identity
from tests.factories import sources
from tests.factories.readings import image_readings, make_reading

NAMESPACE = uuid.UUID("5a0c3d3e-7f5b-5c55-9d0e-3f6f2d1f6b7a")
"""A number on its own: every UID that a node has derived since 0.1.0 rests on it."""


@pytest.fixture
def reading(tmp_path: Path) -> Reading:
    return make_reading(image_readings(sources.computed_radiograph(tmp_path)))


def test_a_uid_is_derived_as_it_was_in_version_0_1_0(reading: Reading) -> None:
    name = f"{sources.STUDY_UID}\n{'ef' * 32}\n2.25.271828\nSEG series\n1.2.3"
    expected = f"2.25.{uuid.uuid5(NAMESPACE, name).int}"
    assert identity.derive_uid(reading, "SEG series", "1.2.3") == expected


def test_study_content_task_version_and_each_part_make_a_uid_another(
    reading: Reading, tmp_path: Path
) -> None:
    elsewhere = sources.computed_radiograph(tmp_path, series=5, StudyInstanceUID="1.2.3")
    readings = [
        reading,
        dataclasses.replace(reading, study_content_digest="00"),
        dataclasses.replace(reading, task_version_uid="2.25.1"),
        dataclasses.replace(reading, images=tuple(image_readings(elsewhere))),
    ]
    uids = [identity.derive_uid(each, "SR") for each in readings]
    uids += [identity.derive_uid(reading, *parts) for parts in ((), ("SEG",), ("SR", "1"))]
    assert len(set(uids)) == len(uids)


def test_a_verdict_or_a_moment_changes_no_uid(reading: Reading) -> None:
    repeat = dataclasses.replace(reading, verdict="normal", finished_at=datetime(2027, 1, 1))
    assert identity.derive_uid(repeat, "SR") == identity.derive_uid(reading, "SR")


def test_the_kinds_of_object_have_series_numbers_that_stay() -> None:
    assert identity.SERIES_NUMBERS == {
        "SEG": 9701,
        "SR": 9702,
        "FRACTIONAL": 9703,
        "PM": 9704,
        "SC": 9705,
        "KO": 9706,
    }


def test_a_series_is_described_by_task_and_kind_with_the_warning_whole(reading: Reading) -> None:
    text = identity.series_description(reading, label="report")
    assert text == "brain-mr report, not for diagnostic use"
    long = dataclasses.replace(reading, task_name="t" * 100)
    text = identity.series_description(long, label="report")
    assert len(text) == 64
    assert text == "t" * 33 + " report, not for diagnostic use"


def test_text_of_ours_fits_every_character_set(reading: Reading, device: Device) -> None:
    foreign = dataclasses.replace(reading, task_name="gehirn-größe")
    text = identity.series_description(foreign, label="report")
    assert text == "gehirn-gr??e report, not for diagnostic use"
    fields = ("name", "manufacturer", "model", "serial", "software_version")
    given = dataclasses.replace(device, **dict.fromkeys(fields, "ü" * 70))
    fitted = identity.ascii_device(given)
    assert {getattr(fitted, field) for field in fields} == {"?" * 64}
    assert fitted.uid == device.uid


def test_the_parameters_say_how_a_reading_came_about(reading: Reading) -> None:
    assert identity.algorithm_parameters(reading) == {
        "task": "brain-mr",
        "task_version": "3",
        "task_version_uid": "2.25.271828",
        "preset": "paper",
        "k": "8",
        "operating_point": "0.5",
        "false_positive_rate": "0.05",
        "p_value": "0.111111",
        "backbone": "ViT-L-14/openai",
        "backbone_model": "ViT-L-14/openai",
        "backbone_sha256": "ab" * 32,
        "weights_sha256": "cd" * 32,
        "software_version": "0.1.0",
        "study_revision": "1",
    }


def test_the_parameters_name_an_untrained_backbone_and_absent_numbers(reading: Reading) -> None:
    uncalibrated = dataclasses.replace(
        reading, backbone_trained=False, operating_point=None, p_value=None
    )
    parameters = identity.algorithm_parameters(uncalibrated)
    assert parameters["backbone"] == "untrained"
    assert parameters["backbone_model"] == "ViT-L-14/openai"
    assert parameters["operating_point"] == parameters["p_value"] == "none"


def test_a_segment_names_its_algorithm(reading: Reading, device: Device) -> None:
    long = dataclasses.replace(reading, task_name="t" * 100)
    item = identity.algorithm_identification(long, device)[0]
    assert item.AlgorithmName == "t" * 64
    assert item.AlgorithmVersion == "3"
    assert item.AlgorithmSource == "mediclip-dicom"
    assert item.AlgorithmFamilyCodeSequence[0].CodeMeaning == "Artificial Intelligence"
    assert "task_version_uid=2.25.271828" in item.AlgorithmParameters


def test_the_equipment_item_by_which_the_node_knows_its_own_results(device: Device) -> None:
    maker = dataclasses.replace(device, manufacturer="maker", model="model")
    item = identity.contributing_equipment(maker)
    assert item.DeviceUID == "2.25.314159"
    assert item.Manufacturer == "maker"
    assert item.ManufacturerModelName == "model"
    assert item.SoftwareVersions == "0.1.0"
    assert item.DeviceSerialNumber == "1"
    assert item.PurposeOfReferenceCodeSequence[0].CodeMeaning == "Processing Equipment"
    assert item.ContributionDescription == "Anomaly detection, not for diagnostic use"


def test_every_object_names_its_maker(device: Device) -> None:
    arguments = identity.equipment_arguments(device)
    (item,) = arguments.pop("contributing_equipment")
    assert item.DeviceUID == device.uid
    assert arguments == {
        "manufacturer": "mediclip-dicom",
        "manufacturer_model_name": "mediclip-dicom",
        "software_versions": "0.1.0",
        "device_serial_number": "1",
        "specific_character_set": None,
    }


def test_every_date_of_an_object_is_the_end_of_its_analysis() -> None:
    contribution = Dataset()
    contribution.ContributionDateTime = "20200101"
    written = Dataset()
    written.ContributingEquipmentSequence = [contribution, Dataset()]
    identity.stamp(written, datetime(2026, 1, 2, 3, 4, 5, 678))
    for stem in ("InstanceCreation", "Content", "Series"):
        assert written[f"{stem}Date"].value == "20260102"
        assert written[f"{stem}Time"].value == "030405.000678"
    assert all("ContributionDateTime" not in item for item in written.ContributingEquipmentSequence)


def test_an_object_without_contributors_is_dated_all_the_same() -> None:
    written = Dataset()
    identity.stamp(written, datetime(2026, 1, 2))
    assert written.SeriesDate == "20260102"
