"""Images: DICOM headers, display pixels, detector inputs, and planes in the patient."""

from ai_core.images import PICTURE_SUFFIXES, Box, Mode, Placement, read_picture
from mediclip_dicom.imaging.boxes import find_boxes
from mediclip_dicom.imaging.display import Window
from mediclip_dicom.imaging.frames import Frame, iter_frames
from mediclip_dicom.imaging.geometry_checks import find_contradictions, rounded_position
from mediclip_dicom.imaging.header import ImageHeader, read_header
from mediclip_dicom.imaging.header_json import header_from_json, header_to_json
from mediclip_dicom.imaging.planes import ENHANCED_SOP_CLASSES, Plane, plane_attribute
from mediclip_dicom.imaging.preparation import Preparation
from mediclip_dicom.imaging.purpose import not_examination
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
from mediclip_dicom.imaging.windows import WINDOW_NAMES, missing_hounsfield, parse_window

__all__ = [
    "ENHANCED_SOP_CLASSES",
    "INPUT_SIZE",
    "PICTURE_SUFFIXES",
    "WINDOW_NAMES",
    "Box",
    "Frame",
    "ImageHeader",
    "InputFrame",
    "Mode",
    "Placement",
    "Plane",
    "Preparation",
    "SkippedFile",
    "SourceImage",
    "Window",
    "find_boxes",
    "find_contradictions",
    "header_from_json",
    "header_to_json",
    "iter_frames",
    "iter_input_frames",
    "missing_hounsfield",
    "not_examination",
    "parse_window",
    "place",
    "plane_attribute",
    "read_header",
    "read_headers",
    "read_picture",
    "reading_order",
    "rounded_position",
    "sample_evenly",
    "series_places",
]
