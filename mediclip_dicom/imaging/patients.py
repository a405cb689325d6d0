"""Patient of an image: identities are compared, and never stored or logged."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import StrEnum

from pydicom.dataset import Dataset

_ALIKE = 0.75
"""Least similarity of two spellings of a name, 0 to 1; trusted only under one Patient ID."""

_FEWEST_WORDS = 2
"""Words of a name that can identify a person without a birth date: a family and a given name."""


class Change(StrEnum):
    """Attribute that differs between two images of one patient, in the words of the report."""

    PATIENT_ID = "the Patient ID"
    ISSUER = "the Issuer of Patient ID"
    NAME = "the spelling of the Patient's Name"
    BIRTH_DATE = "the Patient's Birth Date"
    SEX = "the Patient's Sex"


@dataclass(frozen=True, slots=True)
class PatientIdentity:
    """Attributes by which patients are compared, normalised; empty where an image has none.

    Attributes:
        patient_id: Patient ID (0010,0020).
        issuer: Issuer of Patient ID (0010,0021).
        name: words of Patient's Name (0010,0010) without case, accents and order.
        birth_date: Patient's Birth Date (0010,0030), eight digits.
        sex: Patient's Sex (0010,0040), "M" or "F".
    """

    patient_id: str
    issuer: str
    name: tuple[str, ...]
    birth_date: str
    sex: str

    def __repr__(self) -> str:
        """Hide the values, which no log or traceback may hold."""
        return "PatientIdentity(...)"


@dataclass(frozen=True, slots=True)
class Patients:
    """Patients of a study, numbered from 1 in the order given.

    Attributes:
        numbers: number of the patient of each image.
        changes: attributes that differ between images of one patient.
    """

    numbers: Mapping[Hashable, int]
    changes: tuple[Change, ...]

    @property
    def count(self) -> int:
        """Number of patients."""
        return max(self.numbers.values(), default=1)


def patient_of(dataset: Dataset) -> PatientIdentity:
    """Read the identity of an image's patient; a value that can't be read counts as absent."""
    birth_date = re.sub(r"\D", "", _text(dataset, "PatientBirthDate"))
    sex = _text(dataset, "PatientSex").upper()
    return PatientIdentity(
        patient_id=_plain(_text(dataset, "PatientID")),
        issuer=_plain(_text(dataset, "IssuerOfPatientID")),
        name=_name(_text(dataset, "PatientName")),
        birth_date=birth_date if len(birth_date) == 8 else "",
        sex=sex if sex in ("M", "F") else "",
    )


def compare_patients(identities: Mapping[Hashable, PatientIdentity]) -> Patients:
    """Group images by patient: an ID or a name that changes alone is no other patient.

    Args:
        identities: of each image, by any key, in an order that repeats.
    """
    counted = Counter(identities.values())
    groups: list[list[PatientIdentity]] = []
    for identity in counted:
        for group in groups:
            if all(same_patient(identity, member) for member in group):
                group.append(identity)
                break
        else:
            groups.append([identity])
    number_of = {
        identity: number for number, group in enumerate(groups, start=1) for identity in group
    }
    return Patients(
        numbers={key: number_of[identity] for key, identity in identities.items()},
        changes=tuple(change for change in Change if any(_varies(g, change) for g in groups)),
    )


def same_patient(one: PatientIdentity, other: PatientIdentity) -> bool:
    """Decide whether two identities are those of one person.

    One Patient ID of one issuer is contradicted by another name with another birth date or sex, or
    by a name that has nothing in common. Two Patient IDs are those of one person (merged, or
    assigned anew) where the whole name is the same and nothing else contradicts it.
    """
    born = _agree(one.birth_date, other.birth_date)
    sex = _agree(one.sex, other.sex)
    same_name = None if not one.name or not other.name else one.name == other.name
    if _agree(one.issuer, other.issuer) is False:
        same_id: bool | None = False
    else:
        same_id = _agree(one.patient_id, other.patient_id)
    if same_id:
        if same_name is None or same_name:
            return born is not False or sex is not False
        return born is not False and sex is not False and _alike(one.name, other.name)
    if same_name:
        known = born is True or len(one.name) >= _FEWEST_WORDS
        return born is not False and sex is not False and (known or same_id is None)
    if same_id is None and same_name is None:
        return born is not False and sex is not False
    return False


def _varies(group: Sequence[PatientIdentity], change: Change) -> bool:
    values: dict[Change, set[Hashable]] = {
        Change.PATIENT_ID: {identity.patient_id for identity in group},
        Change.ISSUER: {identity.issuer for identity in group},
        Change.NAME: {identity.name for identity in group},
        Change.BIRTH_DATE: {identity.birth_date for identity in group},
        Change.SEX: {identity.sex for identity in group},
    }
    return len({value for value in values[change] if value}) > 1


def _agree(one: str, other: str) -> bool | None:
    """Compare two values; None where one of them is absent."""
    return None if not one or not other else one == other


def _alike(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether two names can be spellings of one: a word in common, or most of their letters."""
    if {word for word in one if len(word) > 1} & set(other):
        return True
    matcher = SequenceMatcher(None, " ".join(one), " ".join(other), autojunk=False)
    return matcher.ratio() >= _ALIKE


def _name(text: str) -> tuple[str, ...]:
    """Return the sorted words of the first group of components that is not empty."""
    groups = (_plain(group) for group in text.split("="))
    first = next((group for group in groups if group), "")
    return tuple(sorted(word for word in re.split(r"[\W_]+", first) if word))


def _plain(text: str) -> str:
    """Remove case, accents, and space at the ends."""
    decomposed = unicodedata.normalize("NFKD", text.strip().casefold())
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter)).strip("^ ")


def _text(dataset: Dataset, keyword: str) -> str:
    try:
        value = dataset.get(keyword)
    except Exception:  # noqa: BLE001 (pydicom fails in many ways at a broken value)
        return ""
    return "" if value is None else str(value).strip("\0 ")
