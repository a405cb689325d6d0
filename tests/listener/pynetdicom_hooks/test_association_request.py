"""Association requests: what the library makes of them, however often they come."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import build_context, build_role
from pynetdicom.pdu import A_ABORT_RQ, A_ASSOCIATE_AC, A_ASSOCIATE_RJ, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    MaximumLengthNotification,
)
from pynetdicom.sop_class import _STORAGE_CLASSES

from listener.errors import BrokenMessageError
from listener.pynetdicom_hooks.association_request import AssociationRequest
from listener.pynetdicom_hooks.negotiation import repaired


def request(*contexts) -> bytes:
    primitive = A_ASSOCIATE()
    primitive.application_context_name = "1.2.840.10008.3.1.1.1"
    primitive.calling_ae_title, primitive.called_ae_title = "SENDER", "NODE"
    for number, context in enumerate(contexts):
        context.context_id = 2 * number + 1
    primitive.presentation_context_definition_list = list(contexts)
    length, implementation = MaximumLengthNotification(), ImplementationClassUIDNotification()
    length.maximum_length_received = 16382
    implementation.implementation_class_uid = "1.2.3.4"
    primitive.user_information = [length, implementation, build_role(CTImageStorage, True, True)]
    return A_ASSOCIATE_RQ(primitive).encode()


def read(kind: type[A_ASSOCIATE_RQ], encoded: bytes) -> A_ASSOCIATE:
    pdu = kind()
    pdu.decode(encoded)
    return pdu.to_primitive()


def ct():
    return build_context(CTImageStorage, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])


def many():
    classes = sorted(_STORAGE_CLASSES.values())[:60]
    return [
        build_context(uid, syntax)
        for uid in classes
        for syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
    ]


@pytest.mark.parametrize("contexts", [[], [ct()], many()], ids=["none", "one", "many"])
def test_a_request_is_what_the_library_makes_of_it_each_time(contexts):
    encoded = request(*contexts)
    expected = read(A_ASSOCIATE_RQ, encoded)
    for _ in range(2):
        found = read(AssociationRequest, encoded)
        assert found.presentation_context_definition_list == [*contexts]
        assert found.user_information == expected.user_information
        for name in ("calling_ae_title", "called_ae_title", "application_context_name"):
            assert getattr(found, name) == getattr(expected, name)


def test_what_one_association_does_to_a_context_no_other_sees():
    encoded = request(ct())
    (first,) = read(AssociationRequest, encoded).presentation_context_definition_list
    first.add_transfer_syntax("1.2.840.10008.1.2.5")
    first.context_id = 7
    assert read(AssociationRequest, encoded).presentation_context_definition_list == [ct_as(1)]


def ct_as(context_id):
    context = ct()
    context.context_id = context_id
    return context


def test_the_same_syntaxes_under_another_number_are_another_context():
    first, second = ct(), ct()
    found = read(AssociationRequest, request(first, second)).presentation_context_definition_list
    assert [context.context_id for context in found] == [1, 3]


def changed(place: int, byte: int) -> bytes:
    encoded = bytearray(request(ct()))
    encoded[encoded.index(b"\x20\x00", 74) + place] = byte  # the first of its items begins at 74
    return bytes(encoded)


def test_what_is_broken_is_refused_each_time():
    for _ in range(2):
        with pytest.raises(BrokenMessageError, match="longer than presentation context 1"):
            read(AssociationRequest, changed(11, 0xFF))


def test_an_unknown_item_or_sub_item_is_left_out_each_time():
    for _ in range(2):
        assert read(AssociationRequest, changed(0, 0x77)).presentation_context_definition_list == []
        (context,) = read(AssociationRequest, changed(8, 0x77)).presentation_context_definition_list
        assert context.abstract_syntax == "0.0"  # which nobody has: the context is not accepted
        assert context.transfer_syntax == ct().transfer_syntax


def repair_and_read(body: bytes, kind: int) -> None:
    """The library reads all that a repair leaves, and makes its primitive of it."""
    try:
        encoded = repaired(bytes((kind, 0, 0, 0, 0, 0)) + body)
    except BrokenMessageError:
        return
    known = {1: A_ASSOCIATE_RQ, 2: A_ASSOCIATE_AC, 3: A_ASSOCIATE_RJ, 7: A_ABORT_RQ}
    pdu = known[kind]()
    pdu.decode(encoded)
    pdu.to_primitive()
    assert repaired(encoded) == encoded


@given(st.binary(max_size=300), st.sampled_from([1, 2, 3, 7]))
def test_whatever_bytes_come_are_repaired_or_refused_in_words(body, kind):
    repair_and_read(body, kind)


@given(st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=40)), max_size=8), st.data())
def test_whatever_items_come_are_repaired_or_refused_in_words(items, data):
    inner = b"".join(item(kind, value) for kind, value in items)
    kind = data.draw(st.sampled_from([0x10, 0x20, 0x21, 0x50]))
    body = bytes((0, 1)) + bytes(66) + item(kind, b"\1\0\0\0" * (kind < 0x50) + inner)
    repair_and_read(body, data.draw(st.sampled_from([1, 2])))


def item(kind: int, value: bytes) -> bytes:
    return bytes((kind, 0)) + len(value).to_bytes(2, "big") + value


@pytest.mark.filterwarnings("ignore:The value length")
def test_a_context_whose_uid_is_too_long_is_none_that_we_have():
    syntax = item(0x40, ImplicitVRLittleEndian.encode())
    for digits, fits in ((62, True), (63, False)):
        context = bytes((1, 0, 0, 0)) + item(0x30, b"1." + b"2" * digits) + syntax
        encoded = request() + item(0x20, context)
        (found,) = read(AssociationRequest, encoded).presentation_context_definition_list
        assert found.abstract_syntax == ("1." + "2" * digits if fits else "0.0")
