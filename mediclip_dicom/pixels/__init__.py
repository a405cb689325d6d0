"""DICOM files to what a radiologist sees, to the detector's input, and back to the source grid."""

from ai_core.pictures import PICTURE_SUFFIXES, read_picture
from ai_core.placement import Mode, Placement
from mediclip_dicom.pixels.display import Window
from mediclip_dicom.pixels.frames import Frame, iter_frames
from mediclip_dicom.pixels.header import ImageHeader, read_header

__all__ = [
    "PICTURE_SUFFIXES",
    "Frame",
    "ImageHeader",
    "Mode",
    "Placement",
    "Window",
    "iter_frames",
    "read_header",
    "read_picture",
]
