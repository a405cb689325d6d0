"""Text of a source, carried into results byte for byte (PS3.5 6.1, PS3.3 C.12.1.1.2).

One rule for every attribute that a result copies, at any depth: text that is not plain is carried
as it is encoded, with the source's Specific Character Set. So a result has the name that the PACS
knows, even if it has two values, or bytes that its character set does not know. highdicom gets a
short stand-in for it meanwhile, since it refuses such text or changes it. A value that can't be a
value of its attribute, and is no text, is left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pydicom.datadict import dictionary_VM
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag

from listener import EncodedText
from listener.encoded_text import TEXT_VRS, vr_of

_STAND_IN = "~mc"
_PLAIN = re.compile(rb"[\x20-\x7e]*")
_LONG_VRS = frozenset(("UC", "UT"))
_LONGEST_SHORT_VALUE = 2**16 - 2  # Explicit VR, PS3.5 7.1.2
_CHARACTER_SET = Tag("SpecificCharacterSet")
# Their items have no text that results copy, and there may be thousands.
_FRAME_GROUPS = frozenset(
    map(Tag, ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence"))
)


@dataclass(frozen=True, slots=True)
class _Carried:
    """Encoded text, with the character set that its own item declares."""

    value: bytes
    character_set: DataElement | None


def hide_text(source: Dataset) -> None:
    """Replace the text that is not plain by stand-ins, in a data set that has just been read.

    Args:
        source: changed in place; `restore_text` finds its text again, as does `share_text`.
    """
    carried: dict[str, _Carried] = {}
    _hide(source, carried, character_set=None)
    source.carried_text = carried


def share_text(source: Dataset, other: Dataset) -> None:
    """Let another data set with attributes of the source have its text as well."""
    other.carried_text = _carried_by(source)


def restore_text(source: Dataset, result: Dataset) -> None:
    """Put the text of a source in the place of its stand-ins, and declare its character set.

    The last change of a result: text is bytes from here on.
    """
    if "SpecificCharacterSet" in source:
        # Unchanged; highdicom 0.28 refuses an empty first value, which is how Japanese studies
        # usually begin theirs.
        result["SpecificCharacterSet"] = source["SpecificCharacterSet"]
    carried = _carried_by(source)
    if carried:
        _restore(result, carried)


def _carried_by(source: Dataset) -> Mapping[str, _Carried]:
    found: Mapping[str, _Carried] = getattr(source, "carried_text", {})
    return found


def _hide(
    dataset: Dataset, carried: dict[str, _Carried], *, character_set: DataElement | None
) -> None:
    for tag in list(dataset.keys()):
        element = dataset.get_item(tag)
        vr = vr_of(element) if isinstance(element, RawDataElement) else element.VR
        if vr == "SQ" and tag not in _FRAME_GROUPS and not tag.is_private:
            for item in dataset[tag].value:
                own = item.get(_CHARACTER_SET, character_set)
                _hide(item, carried, character_set=own)
        elif isinstance(element, RawDataElement) and not tag.is_private:
            _hide_element(dataset, element, vr, carried, character_set=character_set)


def _hide_element(
    dataset: Dataset,
    element: RawDataElement,
    vr: str,
    carried: dict[str, _Carried],
    *,
    character_set: DataElement | None,
) -> None:
    value = element.value or b""
    if vr not in TEXT_VRS:
        if b"\\" in value and vr in _SINGLE_STRINGS and _is_single(element.tag):
            del dataset[element.tag]
        return
    if vr not in _LONG_VRS and len(value) > _LONGEST_SHORT_VALUE:
        dataset[element.tag] = DataElement(element.tag, vr, None)
        return
    if _is_plain(value, element.tag):
        return
    stand_in = f"{_STAND_IN}{len(carried)}"
    carried[stand_in] = _Carried(value, character_set)
    dataset[element.tag] = DataElement(element.tag, vr, stand_in)


_SINGLE_STRINGS = frozenset(("AE", "AS", "CS", "DA", "DS", "DT", "IS", "TM", "UI"))


def _is_plain(value: bytes, tag: BaseTag) -> bool:
    """Return whether text survives decoding and encoding, and has no more values than it may."""
    if not _PLAIN.fullmatch(value) or value.lstrip().startswith(_STAND_IN.encode()):
        return False
    return b"\\" not in value or not _is_single(tag)


def _is_single(tag: BaseTag) -> bool:
    try:
        return dictionary_VM(tag) == "1"
    except KeyError:
        return False


def _restore(dataset: Dataset, carried: Mapping[str, _Carried]) -> None:
    for tag in list(dataset.keys()):
        element = dataset[tag]
        if element.VR == "SQ":
            if tag != Tag("PerFrameFunctionalGroupsSequence"):
                for item in element.value:
                    _restore(item, carried)
        elif element.VR in TEXT_VRS and (text := carried.get(str(element.value))) is not None:
            dataset[tag] = EncodedText(tag, element.VR, text.value)
            if text.character_set is not None:
                dataset[_CHARACTER_SET] = text.character_set
