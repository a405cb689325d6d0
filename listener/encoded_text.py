"""Text of an attribute as bytes, so that it is written as it was read (PS3.5 6.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pydicom.tag import BaseTag

TEXT_VRS = frozenset(("LO", "LT", "PN", "SH", "ST", "UC", "UT"))
"""Value representations that Specific Character Set applies to (PS3.5 6.1.2.3)."""


class EncodedText(DataElement):
    """Data element whose value is written byte for byte, with whatever character set is declared.

    Decoding and encoding again loses text that is not in its declared character set: each byte
    that has no meaning there becomes U+FFFD.

    Args:
        tag: of the attribute.
        vr: its value representation, one of text.
        value: its encoded value; padded to an even length.

    Example:
        >>> from pydicom.dataset import Dataset
        >>> dataset = Dataset()
        >>> dataset.add(EncodedText(0x00100010, "PN", b"M\\xfcller^J"))
        >>> dataset["PatientName"].value
        b'M\\xfcller^J'
    """

    is_raw = True  # pydicom then writes the value as it is

    def __init__(self, tag: BaseTag | int, vr: str, value: bytes) -> None:
        padded = value + b" " * (len(value) % 2)
        super().__init__(tag, vr, padded, already_converted=True)
        self.length = len(padded)


def encoded_texts(dataset: Dataset) -> dict[BaseTag, EncodedText]:
    """Return the text attributes of a data set that has just been read, not those of its items.

    Text that was decoded before is left out.

    Example:
        >>> from pydicom import dcmread
        >>> from pydicom.data import get_testdata_file
        >>> texts = encoded_texts(dcmread(get_testdata_file("CT_small.dcm", download=False)))
        >>> texts[0x00100020].value
        b'1CT1'
    """
    return {
        element.tag: EncodedText(element.tag, vr, element.value)
        for element in dataset.elements()
        if isinstance(element, RawDataElement)
        and element.value
        and (vr := vr_of(element)) in TEXT_VRS
    }


def vr_of(element: RawDataElement) -> str:
    """Return the value representation of an element, by the dictionary where it has none."""
    if element.VR not in (None, "UN"):
        return str(element.VR)
    try:
        return dictionary_VR(element.tag)
    except KeyError:
        return "UN"
