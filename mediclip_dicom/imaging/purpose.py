"""Purpose of an image: localizers, dose reports and screen saves are no part of the examination."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mediclip_dicom.imaging.header import ImageHeader

_SECONDARY_CAPTURES = "1.2.840.10008.5.1.4.1.1.7"

_BY_IMAGE_TYPE = {
    "LOCALIZER": "localizer",
    "SCOUT": "localizer",
    "DOSE_INFO": "dose report",
    "DOSE": "dose report",
    "SCREEN SAVE": "screen save",
    "SCREENSAVE": "screen save",
}


def not_examination(headers: Iterable[ImageHeader]) -> Mapping[str, str]:
    """Find the images that only help an examination, by what their headers say of themselves.

    Localizers are known by Image Type (PS3.3 C.8.2.1.1.1: value 3 of a CT; MR likewise); dose
    reports and screen saves by Image Type or, among Secondary Captures, by the Series Description.
    Where a study has nothing else, nothing is left out: a task may be made for localizers.

    Args:
        headers: of the images of one study that a task reads.

    Returns:
        Reasons, without patient data, by SOP Instance UID.
    """
    headers = tuple(headers)
    reasons = {
        header.sop_instance_uid: reason
        for header in headers
        if (reason := _reason(header)) is not None
    }
    return {} if len(reasons) == len({header.sop_instance_uid for header in headers}) else reasons


def _reason(header: ImageHeader) -> str | None:
    # Value 1 is ORIGINAL or DERIVED, value 2 PRIMARY or SECONDARY.
    for value in header.image_type[2:]:
        if (reason := _BY_IMAGE_TYPE.get(value.strip().upper())) is not None:
            return reason
    if header.sop_class_uid.startswith(_SECONDARY_CAPTURES):
        words = header.series_description.lower()
        if "dose report" in words or "dose info" in words:
            return "dose report"
        if "screen save" in words:
            return "screen save"
    return None
