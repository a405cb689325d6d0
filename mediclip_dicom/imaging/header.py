"""Image header: the attributes for routing, ordering and results, read without pixels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID

from mediclip_dicom.errors import UnsupportedImageError, UnsupportedReason
from mediclip_dicom.imaging.files import read_data_set
from mediclip_dicom.imaging.patients import PatientIdentity, patient_of
from mediclip_dicom.imaging.planes import Plane, plane_attribute, planes_of, repetition, times

if TYPE_CHECKING:
    from pydicom.tag import BaseTag

# Float, Double Float and (integer) Pixel Data: PS3.3 C.7.6.3 and C.7.6.24.
_PIXEL_DATA_TAGS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})

# Storage classes that carry pixel data without being a picture of a patient.
_DERIVED_SOP_CLASSES = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.66.4",  # Segmentation
        "1.2.840.10008.5.1.4.1.1.66.7",  # Label Map Segmentation
        "1.2.840.10008.5.1.4.1.1.66.8",  # Height Map Segmentation
        "1.2.840.10008.5.1.4.1.1.30",  # Parametric Map
        "1.2.840.10008.5.1.4.1.1.481.2",  # RT Dose
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageHeader:
    """Header of one image SOP instance, as frozen values.

    Attributes:
        image_position: (x, y, z) of the first voxel in mm, of the first frame where there are
            several; `None` where the image has no place in a frame of reference.
        image_orientation: row and column cosines (PS3.3 C.7.6.2.1.1), or `None`.
        pixel_spacing: (between rows, between columns) in mm: Pixel Spacing, else Imager Pixel
            Spacing, else `None`.
        spacing_at_detector: the spacing is that of the detector, before which the anatomy is
            magnified (PS3.3 10.7.1.3).
        pixel_aspect: height of a pixel over its width, 1.0 where the header has none.
        planes: plane of each frame; empty for a class without planes (see `imaging.planes`).
        repetition: attributes that distinguish images of one series at the same position.
        times: moments of the image, empty in rows of releases that kept none.
        contradictions: frames whose plane is impossible: (number from 1, reason).
        contributing_device_uids: Device UIDs of Contributing Equipment: the loop guard's evidence.
    """

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str
    modality: str
    body_part: str
    view_position: str
    laterality: str
    series_description: str
    image_type: tuple[str, ...]
    rows: int
    columns: int
    number_of_frames: int
    photometric_interpretation: str
    instance_number: int | None
    frame_of_reference_uid: str | None
    image_position: tuple[float, float, float] | None
    image_orientation: tuple[float, ...] | None
    pixel_spacing: tuple[float, float] | None
    spacing_at_detector: bool
    pixel_aspect: float
    planes: tuple[Plane | None, ...]
    repetition: tuple[str, ...]
    contradictions: tuple[tuple[int, str], ...]
    contributing_device_uids: tuple[str, ...]
    times: tuple[str, ...] = ()


def read_header(path: Path, *, own_device_uid: str | None = None) -> ImageHeader:
    """Read the header of an image; the pixel data stays on disk.

    Args:
        path: a DICOM Part 10 file.
        own_device_uid: this node's device UID; its own results are refused (loop guard).

    Raises:
        UnsupportedImageError: not DICOM, no pixel data, a derived object (SEG, SR, KO, PR,
            Parametric Map, RT Dose), the node's own result, or a header without the attributes
            that an image cannot do without.
        OSError: the file cannot be read.
    """
    return read_header_and_patient(path, own_device_uid=own_device_uid)[0]


def read_header_and_patient(
    path: Path, *, own_device_uid: str | None = None
) -> tuple[ImageHeader, PatientIdentity]:
    """Read the header of an image, and apart from it the patient, which no row may hold.

    Args:
        path: as for `read_header`.
        own_device_uid: as for `read_header`.

    Raises:
        UnsupportedImageError: as from `read_header`.
        OSError: the file cannot be read.
    """
    dataset, has_pixel_data = read_attributes(path)
    sop_class_uid = str(dataset.get("SOPClassUID", ""))
    class_name = UID(sop_class_uid).name or "no SOP class"
    device_uids = _contributing_device_uids(dataset)
    if own_device_uid is not None and own_device_uid in device_uids:
        raise UnsupportedImageError(UnsupportedReason.OWN_RESULT, detail=class_name)
    if sop_class_uid in _DERIVED_SOP_CLASSES:
        raise UnsupportedImageError(UnsupportedReason.NOT_AN_IMAGE, detail=class_name)
    if not has_pixel_data:
        raise UnsupportedImageError(UnsupportedReason.NO_PIXEL_DATA, detail=class_name)
    return _header_of(dataset, device_uids), patient_of(dataset)


def read_attributes(path: Path) -> tuple[Dataset, bool]:
    """Read a file's attributes up to its pixel data, and report whether it has any.

    Raises:
        UnsupportedImageError: the file is no DICOM Part 10 file, or its header is broken.
        OSError: the file cannot be read.
    """
    met_pixel_data = False

    def at_pixel_data(tag: BaseTag, _vr: str | None, _length: int) -> bool:
        nonlocal met_pixel_data
        met_pixel_data = met_pixel_data or int(tag) in _PIXEL_DATA_TAGS
        return met_pixel_data

    try:
        dataset = read_data_set(Path(path), stop_when=at_pixel_data)
    except InvalidDicomError as error:
        detail = "the file has no DICM prefix, and does not begin like a data set either"
        raise UnsupportedImageError(UnsupportedReason.NOT_DICOM, detail=detail) from error
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's; pydicom raises others of its own where a sequence is broken
        # A broken header fails in pydicom in many ways; its words may quote values, so only
        # the kind of failure is reported.
        detail = f"the header cannot be parsed ({type(error).__name__})"
        raise UnsupportedImageError(UnsupportedReason.MALFORMED_HEADER, detail=detail) from error
    return dataset, met_pixel_data


def _header_of(dataset: Dataset, device_uids: tuple[str, ...]) -> ImageHeader:
    try:
        spacing, at_detector = _pixel_spacing(dataset)
        planes, contradictions = planes_of(dataset)
        return ImageHeader(
            sop_class_uid=_required(dataset, "SOPClassUID"),
            sop_instance_uid=_required(dataset, "SOPInstanceUID"),
            study_instance_uid=_required(dataset, "StudyInstanceUID"),
            series_instance_uid=_required(dataset, "SeriesInstanceUID"),
            transfer_syntax_uid=str(dataset.file_meta.get("TransferSyntaxUID", "")),
            modality=_text(dataset, "Modality").upper(),
            body_part=_text(dataset, "BodyPartExamined").upper(),
            view_position=_text(dataset, "ViewPosition").upper(),
            laterality=(_text(dataset, "ImageLaterality") or _text(dataset, "Laterality")).upper(),
            series_description=_text(dataset, "SeriesDescription"),
            image_type=tuple(str(value) for value in _values(dataset.get("ImageType"))),
            rows=int(_required(dataset, "Rows")),
            columns=int(_required(dataset, "Columns")),
            number_of_frames=max(1, int(dataset.get("NumberOfFrames") or 1)),
            photometric_interpretation=_required(dataset, "PhotometricInterpretation"),
            instance_number=_integer(dataset.get("InstanceNumber")),
            frame_of_reference_uid=_text(dataset, "FrameOfReferenceUID") or None,
            image_position=_triple(
                plane_attribute(
                    dataset, "PlanePositionSequence", "ImagePositionPatient", frame_index=0
                )
            ),
            image_orientation=_sextuple(
                plane_attribute(
                    dataset, "PlaneOrientationSequence", "ImageOrientationPatient", frame_index=0
                )
            ),
            pixel_spacing=spacing,
            spacing_at_detector=at_detector,
            pixel_aspect=_pixel_aspect(dataset, spacing),
            planes=planes,
            repetition=repetition(dataset),
            contradictions=contradictions,
            contributing_device_uids=device_uids,
            times=times(dataset),
        )
    except UnsupportedImageError:
        raise
    except Exception as error:
        detail = f"an attribute has a value that cannot be used ({type(error).__name__})"
        raise UnsupportedImageError(UnsupportedReason.MALFORMED_HEADER, detail=detail) from error


def _required(dataset: Dataset, keyword: str) -> str:
    value = dataset.get(keyword)
    if value in (None, "", 0):
        raise UnsupportedImageError(
            UnsupportedReason.MALFORMED_HEADER, detail=f"{keyword} is missing or empty"
        )
    return str(value)


def _text(dataset: Dataset, keyword: str) -> str:
    return str(dataset.get(keyword) or "").strip()


def _values(value: Any) -> tuple[Any, ...]:
    if value is None or value == "":
        return ()
    if isinstance(value, str | bytes | int | float):
        return (value,)
    return tuple(value)


def _integer(value: Any) -> int | None:
    return None if value in (None, "") else int(value)


def _floats(value: Any, count: int) -> tuple[float, ...] | None:
    numbers = tuple(float(number) for number in _values(value))
    return numbers if len(numbers) == count else None


def _triple(value: Any) -> tuple[float, float, float] | None:
    numbers = _floats(value, 3)
    return None if numbers is None else (numbers[0], numbers[1], numbers[2])


def _sextuple(value: Any) -> tuple[float, ...] | None:
    return _floats(value, 6)


def _pixel_spacing(dataset: Dataset) -> tuple[tuple[float, float] | None, bool]:
    """Return (between rows, between columns) in mm, and whether it is at the detector."""
    in_plane = plane_attribute(dataset, "PixelMeasuresSequence", "PixelSpacing", frame_index=0)
    for candidate, at_detector in ((in_plane, False), (dataset.get("ImagerPixelSpacing"), True)):
        numbers = _floats(candidate, 2)
        if numbers is not None and min(numbers) > 0:
            return (numbers[0], numbers[1]), at_detector
    return None, False


def _pixel_aspect(dataset: Dataset, spacing: tuple[float, float] | None) -> float:
    ratio = spacing or _floats(dataset.get("PixelAspectRatio"), 2)
    return ratio[0] / ratio[1] if ratio is not None and min(ratio) > 0 else 1.0


def _contributing_device_uids(dataset: Dataset) -> tuple[str, ...]:
    items = dataset.get("ContributingEquipmentSequence") or ()
    return tuple(
        str(uid) for item in items for uid in _values(item.get("DeviceUID")) if str(uid).strip()
    )
