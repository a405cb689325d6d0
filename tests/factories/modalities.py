"""More kinds of source: tilted and gappy CT, enhanced CT, DX, MG, XA, Secondary Capture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset

from tests.factories import sources

ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"
DX = "1.2.840.10008.5.1.4.1.1.1.1"
MG = "1.2.840.10008.5.1.4.1.1.1.2"
XA = "1.2.840.10008.5.1.4.1.1.12.1"
SC = "1.2.840.10008.5.1.4.1.1.7"

SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)


def change(path: Path, **attributes: object) -> Path:
    """Set attributes of a file; `None` takes one away."""
    dataset = dcmread(path)
    for keyword, value in attributes.items():
        if value is None:
            dataset.pop(keyword, None)
        else:
            setattr(dataset, keyword, value)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return sources.write(dataset, path)


def ct_series(
    folder: Path,
    *,
    positions: Sequence[float] = (0, 2.5, 5, 7.5),
    tilt: float = 0.0,
    rows: int = 96,
    columns: int = 96,
    series: int = 11,
) -> list[Path]:
    """A CT whose slices lie at `positions` mm along the table.

    Args:
        tilt: of the gantry, in degrees: the slices lean, the table does not.
    """
    lean = np.deg2rad(tilt)
    orientation = (1.0, 0.0, 0.0, 0.0, float(np.cos(lean)), float(np.sin(lean)))
    paths = sources.mr_series(
        folder, slices=len(positions), rows=rows, columns=columns, spacing=(0.9, 0.9), series=series
    )
    for path, position in zip(paths, positions, strict=True):
        change(
            path,
            SOPClassUID=sources.CT,
            Modality="CT",
            SeriesDescription="CT synthetic",
            ImageOrientationPatient=[f"{value:.6g}" for value in orientation],
            ImagePositionPatient=[-40, -30, f"{position:.6g}"],
            SliceThickness="2.5",
            GantryDetectorTilt=str(tilt),
            KVP="120",
            AcquisitionNumber=1,
            RescaleIntercept="0",
            RescaleSlope="1",
            ScanningSequence=None,
            SequenceVariant=None,
            MRAcquisitionType=None,
            EchoTime=None,
            RepetitionTime=None,
            EchoTrainLength=None,
            ImageType=["ORIGINAL", "PRIMARY", "AXIAL"],
        )
    return paths


def enhanced_ct(folder: Path, *, frames: int = 4, series: int = 12) -> Path:
    """An Enhanced CT whose frames each say how they lie, as some scanners write it."""
    path = sources.enhanced_mr(folder, frames=frames, series=series)
    dataset = dcmread(path)
    shared = dataset.SharedFunctionalGroupsSequence[0]
    for groups in dataset.PerFrameFunctionalGroupsSequence:
        groups.PlaneOrientationSequence = shared.PlaneOrientationSequence
        groups.PixelMeasuresSequence = shared.PixelMeasuresSequence
    del shared.PlaneOrientationSequence, shared.PixelMeasuresSequence
    sources.write(dataset, path)
    return change(path, SOPClassUID=ENHANCED_CT, Modality="CT")


def digital_radiograph(folder: Path, *, series: int = 13, **attributes: object) -> Path:
    """A DX, MONOCHROME2, of a left hand, its spacing that of the detector."""
    path = sources.computed_radiograph(folder, rows=260, columns=180, series=series)
    given = {
        "SOPClassUID": DX,
        "Modality": "DX",
        "PhotometricInterpretation": "MONOCHROME2",
        "PresentationIntentType": "FOR PRESENTATION",
        "ImageLaterality": "L",
        "BodyPartExamined": "HAND",
        "PatientOrientation": ["R", "H"],
    }
    return change(path, **(given | attributes))


def mammogram(folder: Path, *, series: int = 14, **attributes: object) -> Path:
    """An MG of the right breast, MONOCHROME2, with a frame of reference as some devices write."""
    given = {
        "SOPClassUID": MG,
        "Modality": "MG",
        "BodyPartExamined": "BREAST",
        "ImageLaterality": "R",
        "ViewPosition": "MLO",
        "PatientOrientation": ["P", "FL"],
        "FrameOfReferenceUID": f"{sources.STUDY_UID}.99.{series}",
    }
    return digital_radiograph(folder, series=series, **(given | attributes))


def angiogram(folder: Path, *, frames: int = 3, series: int = 15) -> Path:
    """A multi-frame XA: no frame of reference, no functional groups."""
    path = sources.computed_radiograph(folder, rows=128, columns=128, series=series)
    frame = dcmread(path).pixel_array
    return change(
        path,
        SOPClassUID=XA,
        Modality="XA",
        PhotometricInterpretation="MONOCHROME2",
        NumberOfFrames=frames,
        FrameTime=66,
        FrameIncrementPointer=0x00181063,
        PixelData=np.stack([frame] * frames).tobytes(),
        PatientOrientation=None,
    )


def secondary_capture(folder: Path, *, series: int = 16) -> Path:
    """A colour Secondary Capture without any geometry."""
    path = sources.ultrasound(folder, series=series)
    return change(
        path, SOPClassUID=SC, Modality="OT", ConversionType="WSD", LossyImageCompression=None
    )


def paint(path: Path, masks: np.ndarray) -> Path:
    """Paint an image: bright in the mask, dark elsewhere, as it is displayed.

    Args:
        path: an uncompressed image.
        masks: (rows, columns) bool, the same for every frame.
    """
    dataset = dcmread(path)
    frames = int(dataset.get("NumberOfFrames") or 1)
    bright = masks
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        bright = ~masks
    if dataset.SamplesPerPixel == 3:
        frame = np.repeat(bright[..., np.newaxis] * 255, 3, axis=-1).astype(np.uint8)
    else:
        frame = (bright * 1000).astype("<u2")
    dataset.PixelData = np.stack([frame] * frames).tobytes()
    return sources.write(dataset, path)


def with_plane(dataset: Dataset, index: int, **attributes: object) -> None:
    """Give one frame of an enhanced image a plane attribute of its own."""
    groups = dataset.PerFrameFunctionalGroupsSequence[index]
    for keyword, value in attributes.items():
        sequence = {
            "ImagePositionPatient": "PlanePositionSequence",
            "ImageOrientationPatient": "PlaneOrientationSequence",
            "PixelSpacing": "PixelMeasuresSequence",
        }[keyword]
        item = Dataset()
        setattr(item, keyword, value)
        setattr(groups, sequence, [item])
