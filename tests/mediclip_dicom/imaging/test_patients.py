"""Another patient is distinguished from an ID or a name that changes alone."""

from __future__ import annotations

from collections.abc import Hashable

import pytest
from pydicom.dataset import Dataset

from mediclip_dicom.imaging import (
    Change,
    PatientIdentity,
    compare_patients,
    patient_of,
    same_patient,
)

ANN = {
    "PatientID": "A-17",
    "IssuerOfPatientID": "NORTH",
    "PatientName": "Alpha^Ann",
    "PatientBirthDate": "19700101",
    "PatientSex": "F",
}


def patient(**changes: str) -> Dataset:
    dataset = Dataset()
    for keyword, value in {**ANN, **changes}.items():
        setattr(dataset, keyword, value)
    return dataset


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"PatientID": " a-17 "},
        {"PatientID": "Z-99"},
        {"PatientID": "Z-99", "IssuerOfPatientID": "SOUTH"},
        {"PatientID": "Z-99", "PatientName": "ANN ALPHA"},
        {"PatientID": "Z-99", "PatientBirthDate": ""},
        {"IssuerOfPatientID": ""},
        {"IssuerOfPatientID": "SOUTH"},
        {"PatientName": "ALPHA^ANN^^^"},
        {"PatientName": "Alpha^Anna"},
        {"PatientName": "Älpha^Ann"},
        {"PatientName": "Bravo^Ann"},
        {"PatientName": ""},
        {"PatientBirthDate": "19700102"},
        {"PatientBirthDate": "1970.01.01"},
        {"PatientSex": "O"},
        {"PatientSex": "M"},
        {"PatientID": "", "PatientBirthDate": ""},
        {"PatientID": "", "PatientName": "", "PatientBirthDate": "", "PatientSex": ""},
    ],
)
def test_what_changes_alone_is_the_same_patient(changes: dict[str, str]) -> None:
    one, other = patient_of(patient()), patient_of(patient(**changes))
    assert same_patient(one, other)
    assert same_patient(other, one)


@pytest.mark.parametrize(
    "changes",
    [
        {"PatientID": "B-1", "PatientName": "Bravo^Bob"},
        {"PatientID": "B-1", "PatientName": "Bravo^Bob", "PatientBirthDate": "", "PatientSex": ""},
        {"PatientID": "B-1", "PatientName": "Alpha^Anne"},
        {"PatientID": "B-1", "PatientBirthDate": "19991231"},
        {"PatientID": "B-1", "PatientSex": "M"},
        {"PatientID": "B-1", "PatientName": ""},
        {"PatientName": "Bravo^Bob"},
        {"PatientName": "Alpha^Anna", "PatientBirthDate": "19991231"},
        {"IssuerOfPatientID": "SOUTH", "PatientName": "Bravo^Bob"},
        {"PatientID": "", "PatientName": "Bravo^Bob"},
    ],
)
def test_another_patient_is_told_from_a_correction(changes: dict[str, str]) -> None:
    one, other = patient_of(patient()), patient_of(patient(**changes))
    assert not same_patient(one, other)
    assert not same_patient(other, one)


def test_pseudonyms_of_one_word_are_no_name() -> None:
    one = patient_of(patient(PatientName="ANONYMOUS", PatientBirthDate=""))
    other = patient_of(patient(PatientName="ANONYMOUS", PatientBirthDate="", PatientID="B-2"))
    assert not same_patient(one, other)


def test_patients_are_numbered_in_the_order_given_and_changes_named_without_values() -> None:
    images: dict[Hashable, PatientIdentity] = {
        "a": patient_of(patient()),
        "b": patient_of(patient(PatientID="B-1", PatientName="Bravo^Bob")),
        "c": patient_of(patient(PatientID="C-1")),
    }
    found = compare_patients(images)
    assert found.count == 2
    assert found.numbers == {"a": 1, "b": 2, "c": 1}
    assert found.changes == (Change.PATIENT_ID,)
    assert "alpha" not in repr(images["a"])
    assert compare_patients({}).count == 1


def test_an_image_without_identity_joins_no_two_patients() -> None:
    blank = dict.fromkeys(ANN, "")
    images: dict[Hashable, PatientIdentity] = {
        "blank": patient_of(patient(**blank)),
        "a": patient_of(patient()),
        "b": patient_of(patient(PatientID="B-1", PatientName="Bravo^Bob")),
    }
    assert compare_patients(images).count == 2
