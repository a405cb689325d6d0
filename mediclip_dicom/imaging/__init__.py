"""Images: DICOM headers, display pixels, detector inputs, and planes in the patient."""

from ai_core.images import PICTURE_SUFFIXES, Box, Mode, Placement, read_picture
from mediclip_dicom.imaging.boxes import find_boxes
from mediclip_dicom.imaging.display import Window
from mediclip_dicom.imaging.files import FileKind, archive_format, file_kind, read_data_set
from mediclip_dicom.imaging.frames import Frame, iter_frames
from mediclip_dicom.imaging.geometry_checks import find_contradictions, rounded_position
from mediclip_dicom.imaging.header import (
    ImageHeader,
    read_attributes,
    read_header,
    read_header_and_patient,
)
from mediclip_dicom.imaging.header_json import header_from_json, header_to_json
from mediclip_dicom.imaging.patients import (
    Change,
    PatientIdentity,
    Patients,
    compare_patients,
    patient_of,
    same_patient,
)
from mediclip_dicom.imaging.planes import ENHANCED_SOP_CLASSES, Plane, plane_attribute
from mediclip_dicom.imaging.preparation import Preparation
from mediclip_dicom.imaging.purpose import SupportKinds, not_examination
from mediclip_dicom.imaging.series import (
    INPUT_SIZE,
    InputFrame,
    SkippedFile,
    SourceImage,
    iter_input_frames,
    place,
    read_headers,
    reading_order,
    sample_evenly,
)
from mediclip_dicom.imaging.series_places import series_places
from mediclip_dicom.imaging.smoothed_maps import StudyPeak, on_source, smooth_frame, smoothed_peak
from mediclip_dicom.imaging.stacks import (
    FramePlace,
    FrameStack,
    PlacedFrame,
    count_volumes,
    group_frames,
    plane_cosines,
    stack_frames,
)
from mediclip_dicom.imaging.windows import WINDOW_NAMES, missing_hounsfield, parse_window

__all__ = [
    "ENHANCED_SOP_CLASSES",
    "INPUT_SIZE",
    "PICTURE_SUFFIXES",
    "WINDOW_NAMES",
    "Box",
    "Change",
    "FileKind",
    "Frame",
    "FramePlace",
    "FrameStack",
    "ImageHeader",
    "InputFrame",
    "Mode",
    "PatientIdentity",
    "Patients",
    "PlacedFrame",
    "Placement",
    "Plane",
    "Preparation",
    "SkippedFile",
    "SourceImage",
    "StudyPeak",
    "SupportKinds",
    "Window",
    "archive_format",
    "compare_patients",
    "count_volumes",
    "file_kind",
    "find_boxes",
    "find_contradictions",
    "group_frames",
    "header_from_json",
    "header_to_json",
    "iter_frames",
    "iter_input_frames",
    "missing_hounsfield",
    "not_examination",
    "on_source",
    "parse_window",
    "patient_of",
    "place",
    "plane_attribute",
    "plane_cosines",
    "read_attributes",
    "read_data_set",
    "read_header",
    "read_header_and_patient",
    "read_headers",
    "read_picture",
    "reading_order",
    "rounded_position",
    "same_patient",
    "sample_evenly",
    "series_places",
    "smooth_frame",
    "smoothed_peak",
    "stack_frames",
]
