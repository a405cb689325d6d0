"""The demonstration: a small radiology department, its PACS, and a picture of what came back."""

from mediclip_dicom.demo.run import run_demo

__all__ = ["run_demo"]
