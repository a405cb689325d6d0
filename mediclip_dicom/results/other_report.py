"""Report as another class of Structured Report, for a peer without Comprehensive 3D SR.

The content is the same, less the three-dimensional coordinates, which Comprehensive SR (PS3.3
A.35.3) and Enhanced SR (A.35.2) don't have: what is planar, and all texts and measurements, stay.
It is another object with another SOP Instance UID, derived from the first one's and its class.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, Comprehensive3DSRStorage, ComprehensiveSRStorage, EnhancedSRStorage

from listener import encoded_texts
from mediclip_dicom.results.identity import derive_class_uid
from mediclip_dicom.results.writing import ResultObject

COMPREHENSIVE_3D_SR = str(Comprehensive3DSRStorage)

OTHER_REPORT_KINDS: Mapping[str, str] = MappingProxyType(
    {str(ComprehensiveSRStorage): "SR-COMPREHENSIVE", str(EnhancedSRStorage): "SR-ENHANCED"}
)
"""Kind of result object by SOP class, the class that is preferred first."""

_SPATIAL = "SCOORD3D"


def other_report_uids(sop_instance_uid: str) -> dict[str, str]:
    """Derive the SOP Instance UID of each other report, by its SOP class."""
    return {
        sop_class: derive_class_uid(sop_instance_uid, sop_class) for sop_class in OTHER_REPORT_KINDS
    }


def other_report(path: Path, sop_class_uid: str) -> ResultObject:
    """Write a report as another class into the folder of the first one.

    The same report gives the same file, byte for byte.

    Args:
        path: a Comprehensive 3D SR of this node, with Explicit VR.
        sop_class_uid: one of `OTHER_REPORT_KINDS`.

    Raises:
        ValueError: another class.
        OSError: the report is gone, or the disk is full.
    """
    if sop_class_uid not in OTHER_REPORT_KINDS:
        raise ValueError(f"a report can't be made as SOP class {sop_class_uid}")
    dataset = dcmread(path)
    _keep_text(dataset)
    dataset.SOPClassUID = UID(sop_class_uid)
    dataset.SOPInstanceUID = UID(derive_class_uid(str(dataset.SOPInstanceUID), sop_class_uid))
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    _refer_to_same_class(dataset, sop_class_uid)
    _drop_spatial(dataset)
    target = path.with_name(f"{dataset.SOPInstanceUID}.dcm")
    return ResultObject(
        kind="SR",
        sop_class_uid=sop_class_uid,
        sop_instance_uid=str(dataset.SOPInstanceUID),
        series_instance_uid=str(dataset.SeriesInstanceUID),
        path=target,
        sha256=_save(dataset, target),
    )


def _keep_text(dataset: Dataset) -> None:
    """Fix the text as it is encoded, before anything decodes it."""
    texts = encoded_texts(dataset)
    for tag in list(dataset.keys()):
        if tag in texts:
            dataset[tag] = texts[tag]
        elif dataset[tag].VR == "SQ":
            for item in dataset[tag].value:
                _keep_text(item)


def _refer_to_same_class(dataset: Dataset, sop_class_uid: str) -> None:
    """Name as predecessor the other report on the revision before: this destination has that."""
    for study in dataset.get("PredecessorDocumentsSequence") or ():
        for series in study.ReferencedSeriesSequence:
            for item in series.ReferencedSOPSequence:
                if item.ReferencedSOPClassUID == COMPREHENSIVE_3D_SR:
                    uid = str(item.ReferencedSOPInstanceUID)
                    item.ReferencedSOPClassUID = UID(sop_class_uid)
                    item.ReferencedSOPInstanceUID = UID(derive_class_uid(uid, sop_class_uid))


def _drop_spatial(item: Dataset) -> None:
    content: Collection[Dataset] = item.get("ContentSequence") or ()
    kept = [child for child in content if child.get("ValueType") != _SPATIAL]
    for child in kept:
        _drop_spatial(child)
    if len(kept) == len(content):
        return
    if kept:
        item.ContentSequence = Sequence(kept)
    else:
        del item.ContentSequence


def _save(dataset: Dataset, target: Path) -> str:
    """Write a file that is whole or not there; return its digest."""
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=target.parent) as folder:
        staged = Path(folder) / target.name
        with staged.open("wb+") as file:
            dataset.save_as(file, enforce_file_format=True)
            file.flush()
            os.fsync(file.fileno())
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        staged.replace(target)
    return digest
