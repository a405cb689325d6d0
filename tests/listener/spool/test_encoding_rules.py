"""The encoding rules of PS3.5 and the pixel sizes of PS3.3 C.7.6.3, one data set made for each."""

from __future__ import annotations

import struct

import pytest

from listener.errors import InvalidInstanceError
from listener.spool import inspection
from listener.spool.inspection import InstanceIdentity, inspect

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
SC = "1.2.840.10008.5.1.4.1.1.7"
SR = "1.2.840.10008.5.1.4.1.1.88.11"

LONG = {b"OB", b"OF", b"OW", b"SQ", b"UN", b"UT"}
UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
SOP_CLASS, SOP_INSTANCE, STUDY, SERIES = 0x00080016, 0x00080018, 0x0020000D, 0x0020000E
SAMPLES, PHOTOMETRIC, FRAMES, ROWS = 0x00280002, 0x00280004, 0x00280008, 0x00280010
COLUMNS, BITS, PIXELS, FLOAT_PIXELS = 0x00280011, 0x00280100, 0x7FE00010, 0x7FE00008


def element(
    tag: int, vr: bytes, value: bytes = b"", *, length: int | None = None, syntax: str = EXPLICIT
) -> bytes:
    """Encode an element, of another length than its value's if one is given."""
    order = ">" if syntax == BIG_ENDIAN else "<"
    size = len(value) if length is None else length
    head = struct.pack(order + "HH", tag >> 16, tag & 0xFFFF)
    if syntax == IMPLICIT:
        return head + struct.pack("<L", size) + value
    if vr in LONG:
        return head + vr + bytes(2) + struct.pack(order + "L", size) + value
    return head + vr + struct.pack(order + "H", size) + value


def mark(tag: int, length: int = 0, *, order: str = "<") -> bytes:
    """Encode an item, or the end of an item or a sequence; they have no VR."""
    return struct.pack(order + "HHL", tag >> 16, tag & 0xFFFF, length)


def number(tag: int, value: int, *, syntax: str = EXPLICIT) -> bytes:
    order = ">" if syntax == BIG_ENDIAN else "<"
    return element(tag, b"US", struct.pack(order + "H", value), syntax=syntax)


def uids(*, sop_class: str = SR, syntax: str = EXPLICIT) -> bytes:
    values = ((SOP_CLASS, sop_class), (SOP_INSTANCE, "1.2.3.1.5"))
    return b"".join(element(tag, b"UI", uid.encode(), syntax=syntax) for tag, uid in values)


def study_and_series(*, syntax: str = EXPLICIT) -> bytes:
    return element(STUDY, b"UI", b"1.2.3\0", syntax=syntax) + element(
        SERIES, b"UI", b"1.2.3.1\0", syntax=syntax
    )


def document(*, between: bytes = b"", after: bytes = b"", syntax: str = EXPLICIT) -> bytes:
    """A data set that is no image, with further bytes amid it and at its end."""
    return uids(syntax=syntax) + between + study_and_series(syntax=syntax) + after


def image(
    pixels: bytes,
    *,
    rows: int = 2,
    columns: int = 3,
    samples: int | None = 1,
    bits: int | None = 8,
    photometric: bytes = b"MONOCHROME2 ",
    frames: bytes | None = None,
    syntax: str = EXPLICIT,
) -> bytes:
    """A Secondary Capture of which every attribute that sizes its pixels can be chosen."""
    parts = [uids(sop_class=SC, syntax=syntax), study_and_series(syntax=syntax)]
    parts += [] if samples is None else [number(SAMPLES, samples, syntax=syntax)]
    parts += [element(PHOTOMETRIC, b"CS", photometric, syntax=syntax)]
    parts += [] if frames is None else [element(FRAMES, b"IS", frames, syntax=syntax)]
    parts += [number(ROWS, rows, syntax=syntax), number(COLUMNS, columns, syntax=syntax)]
    parts += [] if bits is None else [number(BITS, bits, syntax=syntax)]
    return b"".join([*parts, pixels])


def native(count: int, *, syntax: str = EXPLICIT) -> bytes:
    return element(PIXELS, b"OB", bytes(count), syntax=syntax)


def encapsulated(*fragments: bytes) -> bytes:
    items = b"".join(mark(ITEM, len(data)) + data for data in (b"", *fragments))
    return element(PIXELS, b"OB", length=UNDEFINED) + items + mark(SEQUENCE_END)


def sequence(items: bytes, *, vr: bytes = b"SQ", syntax: str = EXPLICIT) -> bytes:
    order = ">" if syntax == BIG_ENDIAN else "<"
    head = element(0x00081115, vr, length=UNDEFINED, syntax=syntax)
    return head + items + mark(SEQUENCE_END, order=order)


def check(data: bytes, syntax: str = EXPLICIT) -> InstanceIdentity:
    return inspect(data, transfer_syntax_uid=syntax)


def reason(data: bytes, syntax: str = EXPLICIT) -> str:
    with pytest.raises(InvalidInstanceError) as caught:
        check(data, syntax)
    return str(caught.value)


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG_ENDIAN])
def test_the_uids_are_read_in_every_byte_order(syntax: str) -> None:
    assert check(document(syntax=syntax), syntax) == InstanceIdentity(
        study_instance_uid="1.2.3",
        series_instance_uid="1.2.3.1",
        sop_instance_uid="1.2.3.1.5",
        sop_class_uid=SR,
    )


@pytest.mark.parametrize(
    ("tag", "keyword"),
    [
        (STUDY, "StudyInstanceUID"),
        (SERIES, "SeriesInstanceUID"),
        (SOP_INSTANCE, "SOPInstanceUID"),
        (SOP_CLASS, "SOPClassUID"),
    ],
)
def test_a_uid_that_is_missing_is_named(tag: int, keyword: str) -> None:
    there = {SOP_CLASS: SR, SOP_INSTANCE: "1.2.3.1.5", STUDY: "1.2.3", SERIES: "1.2.3.1"}
    data = b"".join(element(t, b"UI", uid.encode()) for t, uid in there.items() if t != tag)
    assert reason(data) == f"{keyword} is missing or empty"


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG_ENDIAN])
def test_a_sequence_is_passed_with_items_of_either_kind_of_length(syntax: str) -> None:
    order = ">" if syntax == BIG_ENDIAN else "<"
    inner = element(0x00080050, b"SH", b"ACC1", syntax=syntax)
    plain = mark(ITEM, len(inner), order=order) + inner
    open_ended = mark(ITEM, UNDEFINED, order=order) + inner + mark(ITEM_END, order=order)
    for items in (plain, plain + plain, open_ended, plain + open_ended, open_ended + plain):
        assert check(document(between=sequence(items, syntax=syntax), syntax=syntax), syntax)


def test_a_wanted_tag_inside_a_sequence_is_not_that_of_the_data_set() -> None:
    inner = element(SOP_INSTANCE, b"UI", b"9.9.9.9")
    open_ended = mark(ITEM, UNDEFINED) + inner + mark(ITEM_END)
    data = document(between=sequence(open_ended))
    assert check(data).sop_instance_uid == "1.2.3.1.5"


def test_an_item_longer_than_the_data_set_is_refused_with_what_is_missing() -> None:
    data = document(after=sequence(mark(ITEM, 100) + bytes(8)))
    assert reason(data) == "(FFFE,E000) cut short, 84 bytes missing"


def test_a_value_longer_than_the_data_set_is_refused_with_what_is_missing() -> None:
    assert reason(document(after=element(0x00400275, b"UT", b"text", length=9))) == (
        "(0040,0275) cut short, 5 bytes missing"
    )
    assert reason(document(after=element(0x00400280, b"ST", b"text", length=9))) == (
        "(0040,0280) cut short, 5 bytes missing"
    )


@pytest.mark.parametrize("vr", [b"LO", b"UT"])
def test_an_empty_element_at_the_end_is_whole(vr: bytes) -> None:
    assert check(document(after=element(0x00400275, vr)))


def test_bytes_that_are_no_header_at_the_end_are_refused() -> None:
    whole = document(after=element(0x00400275, b"UT"))
    for cut in range(1, 12):
        assert reason(whole[:-cut]) == "data set ends inside an element header"


def test_unknown_vr_of_undefined_length_is_a_sequence_in_implicit_little_endian() -> None:
    inner = element(0x00080050, b"SH", b"ACC1", syntax=IMPLICIT)
    items = mark(ITEM, UNDEFINED) + inner + mark(ITEM_END)
    assert check(document(between=sequence(items, vr=b"UN")))
    assert check(document(between=sequence(b"", vr=b"UN")))
    assert check(document(between=element(0x00091001, b"UN", b"1234")))
    explicit = mark(ITEM, UNDEFINED) + element(0x00080050, b"SH", b"ACC1") + mark(ITEM_END)
    assert reason(document(between=sequence(explicit, vr=b"UN")))


def test_unknown_vr_of_undefined_length_has_no_meaning_in_big_endian() -> None:
    data = document(between=sequence(b"", vr=b"UN", syntax=BIG_ENDIAN), syntax=BIG_ENDIAN)
    assert reason(data, BIG_ENDIAN) == "UN of undefined length in big endian"


def nested(levels: int) -> bytes:
    data = b""
    for _ in range(levels):
        data = sequence(mark(ITEM, UNDEFINED) + data + mark(ITEM_END))
    return data


def test_sequences_may_nest_64_deep_below_the_first_and_no_deeper() -> None:
    assert check(document(after=nested(65)))
    assert reason(document(after=nested(66))) == "sequences nested deeper than 64"


def test_headers_of_elements_and_items_are_counted_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    items = mark(ITEM, UNDEFINED) + element(0x00080050, b"SH", b"ACC1") + mark(ITEM_END)
    data = document(between=sequence(items))
    headers = 4 + 1 + 4  # the UIDs, the sequence, and what is in it with its end
    monkeypatch.setattr(inspection, "_MAX_HEADERS", headers)
    assert check(data)
    monkeypatch.setattr(inspection, "_MAX_HEADERS", headers - 1)
    assert reason(data) == f"more than {headers - 1} elements and items"


def test_many_short_elements_are_counted_too(monkeypatch: pytest.MonkeyPatch) -> None:
    data = document(after=element(0x00400280, b"ST", b"text") * 20)
    monkeypatch.setattr(inspection, "_MAX_HEADERS", 24)
    assert check(data)
    monkeypatch.setattr(inspection, "_MAX_HEADERS", 23)
    assert reason(data) == "more than 23 elements and items"


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG_ENDIAN])
@pytest.mark.parametrize(
    ("needed", "changes"),
    [
        (6, {}),
        (6, {"samples": None}),
        (6, {"bits": None}),
        (18, {"samples": 3, "photometric": b"RGB "}),
        (12, {"bits": 16}),
        (9, {"bits": 12}),
        (1, {"bits": 1}),
        (12, {"samples": 3, "photometric": b"YBR_FULL_422"}),
        (12, {"samples": 3, "photometric": b"YBR_PARTIAL_422 "}),
        (12, {"samples": 3, "photometric": b"YBR_FULL_422\0\0"}),
        (18, {"samples": 3, "photometric": b"YBR_FULL"}),
        (6, {"samples": 1, "photometric": b"YBR_FULL_422"}),
        (24, {"frames": b"4 "}),
        (24, {"frames": b"4\0"}),
        (24, {"frames": b" 4 \0"}),
        (6, {"frames": b""}),
        (6, {"frames": b"0 "}),
        (300 * 2, {"rows": 300, "columns": 2}),
        (40_000 * 2, {"rows": 40_000, "columns": 2}),
    ],
)
def test_pixel_data_may_not_be_a_byte_too_short(
    needed: int, changes: dict[str, object], syntax: str
) -> None:
    def made(count: int) -> bytes:
        return image(native(count, syntax=syntax), syntax=syntax, **changes)  # type: ignore[arg-type]

    assert check(made(needed), syntax).sop_class_uid == SC
    assert reason(made(needed - 1), syntax) == "Pixel Data is 1 bytes shorter than the image"


def test_a_number_of_frames_that_is_none_is_refused() -> None:
    assert reason(image(native(6), frames=b"X ")) == "NumberOfFrames is not a number"


@pytest.mark.parametrize(("rows", "columns"), [(0, 3), (2, 0), (0, 0)])
def test_an_image_needs_rows_and_columns(rows: int, columns: int) -> None:
    data = image(native(6), rows=rows, columns=columns)
    assert reason(data) == "image without Rows and Columns"


def test_float_pixel_data_is_pixel_data() -> None:
    assert check(image(element(FLOAT_PIXELS, b"OF", bytes(24))))
    assert reason(image(b"")) == "image without Pixel Data"


def test_every_frame_needs_a_fragment_besides_the_offset_table() -> None:
    assert check(image(encapsulated(b"\xff\xd8")), JPEG_BASELINE)
    assert check(image(encapsulated(b"\xff\xd8", b"\xff\xd8"), frames=b"2 "), JPEG_BASELINE)
    too_few = image(encapsulated(b"\xff\xd8"), frames=b"2 ")
    assert reason(too_few, JPEG_BASELINE) == "1 fragments for 2 frames"
    assert reason(image(encapsulated()), JPEG_BASELINE) == "0 fragments for 1 frames"
    nothing = element(PIXELS, b"OB", length=UNDEFINED) + mark(SEQUENCE_END)
    assert reason(image(nothing), JPEG_BASELINE) == "0 fragments for 1 frames"


@pytest.mark.parametrize(
    "fragment", [mark(ITEM_END), mark(ITEM, UNDEFINED), element(0x00080050, b"SH", b"ACC1")]
)
def test_fragments_are_items_of_a_known_length(fragment: bytes) -> None:
    pixels = element(PIXELS, b"OB", length=UNDEFINED) + fragment + mark(SEQUENCE_END)
    assert reason(image(pixels), JPEG_BASELINE) == "encapsulated Pixel Data is broken"


def test_pixel_data_is_encapsulated_if_and_only_if_its_syntax_says_so() -> None:
    assert reason(image(native(6)), JPEG_BASELINE) == (
        "Pixel Data is not encapsulated as its syntax says"
    )
    assert reason(image(encapsulated(b"\xff\xd8"))) == (
        "Pixel Data is encapsulated, its syntax says native"
    )


def test_an_icon_may_be_encapsulated() -> None:
    icon = mark(ITEM, UNDEFINED) + encapsulated(b"\xff\xd8") + mark(ITEM_END)
    assert check(document(between=sequence(icon)), JPEG_BASELINE)
    followed = mark(ITEM, UNDEFINED) + encapsulated(b"\xff\xd8")
    followed += element(0x7FE10010, b"LO", b"private ") + mark(ITEM_END)
    assert check(document(between=sequence(followed)), JPEG_BASELINE)


def test_pixel_data_with_a_short_vr_is_pixel_data_all_the_same() -> None:
    """Some senders give Pixel Data a VR of two length bytes; it must not be skipped unseen."""
    assert check(image(element(PIXELS, b"UI", bytes(6))))
    assert reason(image(element(PIXELS, b"UI", bytes(4)))) == (
        "Pixel Data is 2 bytes shorter than the image"
    )
