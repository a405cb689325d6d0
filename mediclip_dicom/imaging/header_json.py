"""Header facts of an image as text, so that a database can keep what was parsed once."""

from __future__ import annotations

import json
from dataclasses import asdict

from pydantic import TypeAdapter

from mediclip_dicom.imaging.header import ImageHeader

_HEADER = TypeAdapter(ImageHeader)


def header_to_json(header: ImageHeader) -> str:
    """Write header facts as JSON; numbers keep every digit."""
    return json.dumps(asdict(header), separators=(",", ":"))


def header_from_json(text: str) -> ImageHeader:
    """Read header facts that `header_to_json` wrote.

    Raises:
        pydantic.ValidationError: another version of the node wrote them.
    """
    return _HEADER.validate_python(json.loads(text))
