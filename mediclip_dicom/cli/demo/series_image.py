"""MR Image and CT Image objects of one slice (PS3.3 A.4 and A.3)."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, MRImageStorage

from mediclip_dicom.cli.demo.studies import derived_uid

Vector = NDArray[np.float64]
Pixels = NDArray[np.uint16] | NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class SeriesIdentity:
    """Patient, study and series attributes that all images of one series share."""

    seed: int
    code: str
    sex: str
    birth_date: str
    study_date: str
    study_time: str
    modality: Literal["MR", "CT"] = "MR"

    @classmethod
    def draw(
        cls,
        generator: np.random.Generator,
        *,
        seed: int,
        code: str,
        modality: Literal["MR", "CT"] = "MR",
    ) -> "SeriesIdentity":
        """Draw a fictitious patient and an appointment."""
        return cls(
            seed=seed,
            code=code,
            sex="FM"[int(generator.integers(2))],
            birth_date=f"{generator.integers(1940, 2000)}0101",
            study_date=f"202601{generator.integers(1, 29):02d}",
            study_time=f"{generator.integers(8, 17):02d}{generator.integers(60):02d}00",
            modality=modality,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SlicePlane:
    """Place of one slice.

    Attributes:
        index: place in the series, from 0.
        position_mm: Image Position (Patient), LPS.
        directions: unit vectors along a row and down a column.
        location_mm: Slice Location.
        pixel_spacing_mm: Pixel Spacing, both ways.
        thickness_mm: Slice Thickness.
        spacing_mm: Spacing Between Slices.
    """

    index: int
    position_mm: Vector
    directions: tuple[Vector, Vector]
    location_mm: float
    pixel_spacing_mm: float
    thickness_mm: float
    spacing_mm: float


def slice_image(
    pixels: Pixels,
    identity: SeriesIdentity,
    *,
    plane: SlicePlane,
    window: tuple[float, float],
) -> FileDataset:
    """Build one MR Image or CT Image, as the identity's modality says.

    Args:
        pixels: (rows, columns); 12 bits of an MR image, Hounsfield units of a CT image.
        identity: patient, study and series.
        plane: place of the slice.
        window: window centre and width, in the pixels' units.
    """
    dataset = _shell(identity, plane.index)
    _patient_and_study(dataset, identity)
    _series_and_equipment(dataset, identity)
    if identity.modality == "MR":
        _mr_acquisition(dataset)
    else:
        _ct_acquisition(dataset)
    dataset.InstanceNumber = plane.index + 1
    dataset.ImagePositionPatient = [f"{v:.6g}" for v in plane.position_mm]
    dataset.ImageOrientationPatient = [f"{v:.9g}" for d in plane.directions for v in d]
    dataset.PixelSpacing = [plane.pixel_spacing_mm, plane.pixel_spacing_mm]
    dataset.SliceThickness = plane.thickness_mm
    if identity.modality == "MR":
        dataset.SpacingBetweenSlices = plane.spacing_mm
    dataset.SliceLocation = f"{plane.location_mm:.6g}"
    dataset.WindowCenter, dataset.WindowWidth = (f"{v:.6g}" for v in window)
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = pixels.shape
    signed = pixels.dtype.kind == "i"
    bits = 16 if signed else 12
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, bits, bits - 1
    dataset.PixelRepresentation = int(signed)
    dataset.PixelData = pixels.astype("<i2" if signed else "<u2").tobytes()
    return dataset


def _shell(identity: SeriesIdentity, index: int) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = MRImageStorage if identity.modality == "MR" else CTImageStorage
    meta.MediaStorageSOPInstanceUID = derived_uid(identity.seed, identity.code, "image", index)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.SOPClassUID = meta.MediaStorageSOPClassUID
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
    body = "head" if identity.modality == "MR" else "thorax"
    dataset.StudyDescription = f"{identity.modality} {body}, fictitious"


def _series_and_equipment(dataset: FileDataset, identity: SeriesIdentity) -> None:
    brain = identity.modality == "MR"
    dataset.Modality = identity.modality
    dataset.SeriesInstanceUID = derived_uid(identity.seed, identity.code, "series")
    dataset.SeriesNumber = 1
    dataset.SeriesDescription = "T1 axial" if brain else "Lung axial"
    dataset.SeriesDate = identity.study_date
    dataset.SeriesTime = identity.study_time
    dataset.BodyPartExamined = "BRAIN" if brain else "CHEST"
    dataset.PatientPosition = "HFS"
    dataset.FrameOfReferenceUID = derived_uid(identity.seed, identity.code, "frame of reference")
    dataset.PositionReferenceIndicator = ""
    dataset.Manufacturer = "MediCLIP-DICOM"
    dataset.ManufacturerModelName = "Demonstration department"
    dataset.ContentDate = dataset.AcquisitionDate = dataset.SeriesDate
    dataset.ContentTime = dataset.AcquisitionTime = dataset.SeriesTime
    dataset.AcquisitionNumber = 1
    dataset.BurnedInAnnotation = "NO"
    dataset.LossyImageCompression = "00"


def _mr_acquisition(dataset: FileDataset) -> None:
    dataset.ImageType = ["DERIVED", "PRIMARY", "OTHER"]
    dataset.MagneticFieldStrength = 1.5
    dataset.ScanningSequence = "GR"
    dataset.SequenceVariant = "SP"
    dataset.ScanOptions = ""
    dataset.MRAcquisitionType = "2D"
    dataset.RepetitionTime = 500
    dataset.EchoTime = 9
    dataset.EchoTrainLength = 1
    dataset.FlipAngle = 70


def _ct_acquisition(dataset: FileDataset) -> None:
    dataset.ImageType = ["DERIVED", "PRIMARY", "AXIAL"]
    dataset.KVP = 120
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = 0, 1, "HU"
