"""Synthetic source images for tests: small, valid DICOM of the kinds that a hospital sends."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

MR = "1.2.840.10008.5.1.4.1.1.4"
ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"
CT = "1.2.840.10008.5.1.4.1.1.2"
CR = "1.2.840.10008.5.1.4.1.1.1"
US = "1.2.840.10008.5.1.4.1.1.6.1"
US_MULTIFRAME = "1.2.840.10008.5.1.4.1.1.3.1"

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
OBLIQUE = (0.8, 0.6, 0.0, -0.36, 0.48, -0.8)

STUDY_UID = "1.2.826.0.1.3680043.8.498.1"


def _base(
    *, sop_class: str, modality: str, number: int, series: int, shape: tuple[int, int]
) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = UID(sop_class)
    dataset.file_meta.MediaStorageSOPInstanceUID = UID(f"{STUDY_UID}.{series}.{number}")
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.SOPClassUID = sop_class
    dataset.SOPInstanceUID = f"{STUDY_UID}.{series}.{number}"
    dataset.StudyInstanceUID = STUDY_UID
    dataset.SeriesInstanceUID = f"{STUDY_UID}.{series}"
    dataset.PatientName = "Test^Patient"
    dataset.PatientID = "TEST-1"
    dataset.PatientBirthDate = "19500101"
    dataset.PatientSex = "F"
    dataset.PatientAge = "070Y"
    dataset.StudyDate = "20200102"
    dataset.StudyTime = "030405"
    dataset.StudyID = "S1"
    dataset.AccessionNumber = "ACC1"
    dataset.ReferringPhysicianName = "Doctor^Referring"
    dataset.Modality = modality
    dataset.SeriesNumber = series
    dataset.SeriesDescription = f"{modality} synthetic"
    dataset.InstanceNumber = number
    dataset.Manufacturer = "Maker"
    dataset.ManufacturerModelName = "Model"
    dataset.ImageType = ["ORIGINAL", "PRIMARY"]
    dataset.Rows, dataset.Columns = shape
    return dataset


def _set_grey(dataset: Dataset, pixels: npt.NDArray[np.uint16], *, photometric: str) -> None:
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = photometric
    dataset.BitsAllocated = 16
    dataset.BitsStored = 12
    dataset.HighBit = 11
    dataset.PixelRepresentation = 0
    dataset.PixelData = pixels.astype("<u2").tobytes()


def _gradient(rows: int, columns: int) -> npt.NDArray[np.uint16]:
    row, column = np.mgrid[0:rows, 0:columns]
    pixels: npt.NDArray[np.uint16] = ((row * 7 + column * 3) % 1000).astype(np.uint16)
    return pixels


def write(dataset: Dataset, path: Path) -> Path:
    dataset.save_as(path, enforce_file_format=True)
    return path


def mr_series(
    folder: Path,
    *,
    slices: int = 5,
    rows: int = 48,
    columns: int = 64,
    orientation: tuple[float, ...] = AXIAL,
    spacing: tuple[float, float] = (1.5, 1.25),
    step: float = 4.0,
    series: int = 1,
    **attributes: object,
) -> list[Path]:
    """An MR series: one file a slice, along the normal of its orientation, `step` mm apart."""
    normal = np.cross(orientation[:3], orientation[3:])
    paths = []
    for index in range(slices):
        dataset = _base(
            sop_class=MR, modality="MR", number=index + 1, series=series, shape=(rows, columns)
        )
        dataset.FrameOfReferenceUID = f"{STUDY_UID}.99.{series}"
        dataset.PositionReferenceIndicator = ""
        dataset.ImageOrientationPatient = [f"{value:.6g}" for value in orientation]
        position = np.array([-40.0, -30.0, 10.0]) + normal * step * index
        dataset.ImagePositionPatient = [f"{value:.6g}" for value in position]
        dataset.PixelSpacing = list(spacing)
        dataset.SliceThickness = step
        dataset.BodyPartExamined = "BRAIN"
        dataset.PatientPosition = "HFS"
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
        dataset.ScanningSequence = "SE"
        dataset.SequenceVariant = "NONE"
        dataset.ScanOptions = ""
        dataset.MRAcquisitionType = "2D"
        dataset.EchoTime, dataset.RepetitionTime, dataset.EchoTrainLength = 10, 500, 1
        dataset.WindowCenter, dataset.WindowWidth = 500, 1000
        _set_grey(dataset, _gradient(rows, columns), photometric="MONOCHROME2")
        for keyword, value in attributes.items():
            setattr(dataset, keyword, value)
        paths.append(write(dataset, folder / f"mr-{series}-{index + 1}.dcm"))
    return paths


def computed_radiograph(
    folder: Path, *, rows: int = 120, columns: int = 80, series: int = 2, **attributes: object
) -> Path:
    """A CR without frame of reference, MONOCHROME1, higher than wide."""
    dataset = _base(sop_class=CR, modality="CR", number=1, series=series, shape=(rows, columns))
    dataset.BodyPartExamined = "CHEST"
    dataset.ViewPosition = "PA"
    dataset.PatientOrientation = ["L", "F"]
    dataset.ImagerPixelSpacing = [0.2, 0.2]
    dataset.WindowCenter, dataset.WindowWidth = 500, 1000
    _set_grey(dataset, _gradient(rows, columns), photometric="MONOCHROME1")
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return write(dataset, folder / f"cr-{series}.dcm")


def ultrasound(
    folder: Path, *, frames: int = 1, rows: int = 60, columns: int = 90, series: int = 3
) -> Path:
    """A colour US without frame of reference; several frames make it a US Multi-frame Image."""
    dataset = _base(
        sop_class=US if frames == 1 else US_MULTIFRAME,
        modality="US",
        number=1,
        series=series,
        shape=(rows, columns),
    )
    dataset.Laterality = ""
    dataset.PatientOrientation = ""
    dataset.SamplesPerPixel = 3
    dataset.PhotometricInterpretation = "RGB"
    dataset.PlanarConfiguration = 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.PixelRepresentation = 0
    dataset.LossyImageCompression = "00"
    if frames > 1:
        dataset.NumberOfFrames = frames
        dataset.FrameTime = 40
        dataset.FrameIncrementPointer = 0x00181063
    frame = (_gradient(rows, columns) % 256).astype(np.uint8)
    colour = np.stack([frame, frame // 2, 255 - frame], axis=-1)
    dataset.PixelData = np.stack(
        [np.roll(colour, number, axis=1) for number in range(frames)]
    ).tobytes()
    return write(dataset, folder / f"us-{series}.dcm")


def enhanced_mr(
    folder: Path, *, frames: int = 4, rows: int = 40, columns: int = 56, series: int = 4
) -> Path:
    """An Enhanced MR with a place, a rescale and a window of its own for every frame."""
    dataset = _base(
        sop_class=ENHANCED_MR, modality="MR", number=1, series=series, shape=(rows, columns)
    )
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    dataset.FrameOfReferenceUID = f"{STUDY_UID}.99.{series}"
    dataset.PositionReferenceIndicator = ""
    dataset.NumberOfFrames = frames
    measures, orientation = Dataset(), Dataset()
    measures.PixelSpacing = [2.0, 1.0]
    measures.SliceThickness = 5
    measures.SpacingBetweenSlices = 5
    orientation.ImageOrientationPatient = list(AXIAL)
    shared = Dataset()
    shared.PixelMeasuresSequence = [measures]
    shared.PlaneOrientationSequence = [orientation]
    dataset.SharedFunctionalGroupsSequence = [shared]
    dataset.PerFrameFunctionalGroupsSequence = [_frame_groups(index) for index in range(frames)]
    stack = np.stack([_gradient(rows, columns) + index for index in range(frames)])
    _set_grey(dataset, stack, photometric="MONOCHROME2")
    return write(dataset, folder / f"enhanced-{series}.dcm")


def _frame_groups(index: int) -> Dataset:
    position, rescale, window = Dataset(), Dataset(), Dataset()
    position.ImagePositionPatient = [-20, -10, 5 * index]
    rescale.RescaleSlope, rescale.RescaleIntercept, rescale.RescaleType = 1, 10 * index, "US"
    window.WindowCenter, window.WindowWidth = 500 + 11 * index, 1001
    groups = Dataset()
    groups.PlanePositionSequence = [position]
    groups.PixelValueTransformationSequence = [rescale]
    groups.FrameVOILUTSequence = [window]
    return groups
