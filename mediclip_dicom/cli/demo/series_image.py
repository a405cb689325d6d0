"""MR Image object of one slice (PS3.3 A.4)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from mediclip_dicom.cli.demo.studies import derived_uid

Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SeriesIdentity:
    """Patient, study and series attributes that all images of one series share."""

    seed: int
    code: str
    sex: str
    birth_date: str
    study_date: str
    study_time: str

    @classmethod
    def draw(cls, generator: np.random.Generator, *, seed: int, code: str) -> "SeriesIdentity":
        """Draw a fictitious patient and an appointment."""
        return cls(
            seed=seed,
            code=code,
            sex="FM"[int(generator.integers(2))],
            birth_date=f"{generator.integers(1940, 2000)}0101",
            study_date=f"202601{generator.integers(1, 29):02d}",
            study_time=f"{generator.integers(8, 17):02d}{generator.integers(60):02d}00",
        )


def mr_image(
    pixels: NDArray[np.uint16],
    identity: SeriesIdentity,
    *,
    index: int,
    position_mm: Vector,
    directions: tuple[Vector, Vector],
    slice_location_mm: float,
    pixel_spacing_mm: float,
    slice_thickness_mm: float,
    slice_spacing_mm: float,
    window: tuple[float, float],
) -> FileDataset:
    """Build one MR Image.

    Args:
        pixels: (rows, columns), 12 bits used.
        identity: patient, study and series.
        index: place in the series, from 0.
        position_mm: Image Position (Patient), LPS.
        directions: unit vectors along a row and down a column.
        slice_location_mm: Slice Location.
        pixel_spacing_mm: Pixel Spacing, both ways.
        slice_thickness_mm: Slice Thickness.
        slice_spacing_mm: Spacing Between Slices.
        window: window centre and width, in stored values.
    """
    dataset = _shell(identity, index)
    _patient_and_study(dataset, identity)
    _series_and_equipment(dataset, identity)
    _acquisition(dataset)
    dataset.InstanceNumber = index + 1
    dataset.ImagePositionPatient = [f"{v:.6g}" for v in position_mm]
    dataset.ImageOrientationPatient = [f"{v:.9g}" for d in directions for v in d]
    dataset.PixelSpacing = [pixel_spacing_mm, pixel_spacing_mm]
    dataset.SliceThickness = slice_thickness_mm
    dataset.SpacingBetweenSlices = slice_spacing_mm
    dataset.SliceLocation = f"{slice_location_mm:.6g}"
    dataset.WindowCenter, dataset.WindowWidth = (f"{v:.6g}" for v in window)
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.PixelData = pixels.astype("<u2").tobytes()
    return dataset


def _shell(identity: SeriesIdentity, index: int) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = MRImageStorage
    meta.MediaStorageSOPInstanceUID = derived_uid(identity.seed, identity.code, "image", index)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.SOPClassUID = MRImageStorage
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    return dataset


def _patient_and_study(dataset: FileDataset, identity: SeriesIdentity) -> None:
    dataset.PatientName = f"DEMO^{identity.code}"
    dataset.PatientID = f"DEMO-{identity.code}"
    dataset.PatientBirthDate = identity.birth_date
    dataset.PatientSex = identity.sex
    dataset.StudyInstanceUID = derived_uid(identity.seed, identity.code, "study")
    dataset.StudyDate = identity.study_date
    dataset.StudyTime = identity.study_time
    dataset.StudyID = identity.code
    dataset.AccessionNumber = f"ACC{identity.code}"
    dataset.ReferringPhysicianName = ""
    dataset.StudyDescription = "MR head, fictitious"


def _series_and_equipment(dataset: FileDataset, identity: SeriesIdentity) -> None:
    dataset.Modality = "MR"
    dataset.SeriesInstanceUID = derived_uid(identity.seed, identity.code, "series")
    dataset.SeriesNumber = 1
    dataset.SeriesDescription = "T1 axial"
    dataset.SeriesDate = identity.study_date
    dataset.SeriesTime = identity.study_time
    dataset.BodyPartExamined = "BRAIN"
    dataset.PatientPosition = "HFS"
    dataset.FrameOfReferenceUID = derived_uid(identity.seed, identity.code, "frame of reference")
    dataset.PositionReferenceIndicator = ""
    dataset.Manufacturer = "MediCLIP-DICOM"
    dataset.ManufacturerModelName = "Demonstration department"
    dataset.MagneticFieldStrength = 1.5


def _acquisition(dataset: FileDataset) -> None:
    dataset.ImageType = ["DERIVED", "PRIMARY", "OTHER"]
    dataset.ContentDate = dataset.AcquisitionDate = dataset.SeriesDate
    dataset.ContentTime = dataset.AcquisitionTime = dataset.SeriesTime
    dataset.AcquisitionNumber = 1
    dataset.ScanningSequence = "GR"
    dataset.SequenceVariant = "SP"
    dataset.ScanOptions = ""
    dataset.MRAcquisitionType = "2D"
    dataset.RepetitionTime = 500
    dataset.EchoTime = 9
    dataset.EchoTrainLength = 1
    dataset.FlipAngle = 70
    dataset.BurnedInAnnotation = "NO"
    dataset.LossyImageCompression = "00"
