"""Findings in space: connected regions of the maps of a series, measured and ranked."""

from mediclip_dicom.results.findings.find import REPORTED, SPECK_MM, Findings, find
from mediclip_dicom.results.findings.finding import Finding, Size
from mediclip_dicom.results.findings.levels import PEAK_SHARE, Levels
from mediclip_dicom.results.findings.regions import StackRegions, find_regions
from mediclip_dicom.results.findings.stacks import Stack, stacks_of

__all__ = [
    "PEAK_SHARE",
    "REPORTED",
    "SPECK_MM",
    "Finding",
    "Findings",
    "Levels",
    "Size",
    "Stack",
    "StackRegions",
    "find",
    "find_regions",
    "stacks_of",
]
