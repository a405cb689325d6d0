"""Structured Reports that the node wrote, as highdicom reads them."""

from __future__ import annotations

from pathlib import Path

import highdicom as hd


def read_report(path: Path) -> hd.sr.Comprehensive3DSR:
    report = hd.sr.srread(path)
    assert isinstance(report, hd.sr.Comprehensive3DSR)
    return report


def measurements(report: hd.sr.Comprehensive3DSR) -> hd.sr.MeasurementReport:
    """The content tree of a report by TID 1500."""
    content = report.content
    assert isinstance(content, hd.sr.MeasurementReport)
    return content
