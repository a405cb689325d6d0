"""Secondary Capture Image object of a picture (PS3.3 A.8.1)."""

import hashlib

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from mediclip_dicom.cli.demo.studies import derived_uid


def secondary_capture(pixels: NDArray[np.float32], *, seed: int) -> FileDataset:
    """Build a study of one image, modality OT, of a fictitious patient.

    Args:
        pixels: (rows, columns, 3) in [0, 1]; stored with 8 bits, grey where all channels agree.
        seed: the UIDs are derived from it and the pixels.
    """
    stored = np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
    code = hashlib.sha256(f"{stored.shape}".encode() + stored.tobytes()).hexdigest()[:12].upper()
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = derived_uid(seed, code, "image")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.StudyInstanceUID = derived_uid(seed, code, "study")
    dataset.SeriesInstanceUID = derived_uid(seed, code, "series")
    dataset.PatientName, dataset.PatientID = f"DEMO^{code}", f"DEMO-{code}"
    dataset.StudyID, dataset.AccessionNumber = code, f"ACC{code}"
    dataset.StudyDescription = "Picture file, fictitious patient"
    dataset.Modality = "OT"
    dataset.ConversionType = "WSD"
    dataset.SeriesNumber = dataset.InstanceNumber = 1
    # Type 2 attributes: present, and empty where nothing is known.
    for keyword in (
        "PatientBirthDate",
        "PatientSex",
        "PatientOrientation",
        "ReferringPhysicianName",
        "StudyDate",
        "StudyTime",
    ):
        setattr(dataset, keyword, "")
    if np.ptp(stored, axis=2).max() == 0:
        dataset.set_pixel_data(np.ascontiguousarray(stored[..., 0]), "MONOCHROME2", 8)
    else:
        dataset.set_pixel_data(stored, "RGB", 8)
    return dataset
