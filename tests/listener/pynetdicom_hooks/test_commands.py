"""Our own encodings, against pydicom's."""

from __future__ import annotations

import struct
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID
from pynetdicom.dsutils import decode

from listener.errors import BrokenMessageError
from listener.pynetdicom_hooks.commands import (
    C_STORE_RQ,
    CommandSet,
    p_data,
    read_command,
    store_response,
)
from listener.spool import (
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    TransferInfo,
    file_header,
)
from tests.listener.conftest import CT, EXPLICIT
from tests.listener.wire import echo_command, store_command


@pytest.mark.parametrize("uid", ["1.2.3", "1.2.34"])
def test_a_store_request_is_read(uid):
    read = read_command(store_command(uid, message_id=513))
    assert read == CommandSet(C_STORE_RQ, 513, CT, uid, has_data_set=True)


def test_a_request_without_data_set_says_so():
    assert not read_command(store_command("1.2.3", data_set=0x0101)).has_data_set
    assert read_command(echo_command()).field == 0x0030


@pytest.mark.parametrize("comment", ["", "odd", "even", "x" * 100])
def test_an_answer_is_what_pydicom_reads(comment):
    request = CommandSet(C_STORE_RQ, 77, CT, "1.2.3.45", has_data_set=True)
    encoded = store_response(request, status=0xA700, comment=comment)
    answer = decode(BytesIO(encoded), True, True)
    assert answer.CommandGroupLength == len(encoded) - 12
    assert (answer.CommandField, answer.MessageIDBeingRespondedTo) == (0x8001, 77)
    assert (answer.Status, answer.CommandDataSetType) == (0xA700, 0x0101)
    assert (answer.AffectedSOPClassUID, answer.AffectedSOPInstanceUID) == (CT, "1.2.3.45")
    assert answer.get("ErrorComment", "") == comment[:64]


@given(st.binary(min_size=1, max_size=300), st.integers(7, 400))
def test_an_answer_is_cut_to_what_the_peer_takes(encoded, max_length):
    sent = p_data(5, encoded, max_length=max_length)
    fragments = []
    while sent:
        _, length, item, context_id, control = struct.unpack_from(">BxLLBB", sent)
        assert length <= max_length
        assert (item, context_id) == (length - 4, 5)
        fragments.append(sent[12 : 6 + length])
        sent = sent[6 + length :]
        assert control == (0x01 if sent else 0x03)
    assert b"".join(fragments) == encoded


@given(st.binary(max_size=200))
def test_noise_is_a_command_or_a_broken_message(noise):
    try:
        read = read_command(noise)
    except BrokenMessageError:
        return
    assert 0 <= read.field <= 0xFFFF


@pytest.mark.parametrize("uid", ["1.2.3", "1.2.34"])
@pytest.mark.parametrize("title", ["CT1", "CT12"])
def test_the_file_meta_is_what_pydicom_writes(uid, title):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = UID(CT), UID(uid)
    meta.TransferSyntaxUID = UID(EXPLICIT)
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    meta.SourceApplicationEntityTitle = meta.SendingApplicationEntityTitle = title
    meta.ReceivingApplicationEntityTitle = "NODE"
    buffer = DicomBytesIO()
    write_file_meta_info(buffer, meta)
    header = file_header(TransferInfo(EXPLICIT, CT, uid, title, "NODE"))
    assert header == bytes(128) + b"DICM" + buffer.getvalue()
