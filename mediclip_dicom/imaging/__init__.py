"""DICOM files to what a radiologist sees, to the detector's input, and back to the source grid."""

from ai_core.images import PICTURE_SUFFIXES, Mode, Placement, read_picture
from mediclip_dicom.imaging.display import Window
from mediclip_dicom.imaging.frames import Frame, iter_frames
from mediclip_dicom.imaging.header import ImageHeader, read_header

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
