"""A sender that puts on the wire whatever bytes it is given, once it is associated."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO

from pydicom.dataset import Dataset
from pynetdicom import build_context
from pynetdicom.dsutils import decode, encode
from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    MaximumLengthNotification,
)

from tests.listener.conftest import CT, EXPLICIT

CONTEXT_ID = 1
VERIFICATION_ID = 3
P_DATA_TF, RELEASE_RQ, RELEASE_RP, ABORT = 0x04, 0x05, 0x06, 0x07
RELEASE = struct.pack(">BBLL", RELEASE_RQ, 0, 4, 0)
LIMIT_S = 20.0


@dataclass(frozen=True)
class Value:
    """A presentation data value (PS3.8 E.2)."""

    fragment: bytes
    command: bool
    last: bool
    context_id: int = CONTEXT_ID

    def encoded(self) -> bytes:
        control = self.command | self.last << 1
        head = struct.pack(">LBB", len(self.fragment) + 2, self.context_id, control)
        return head + self.fragment


def pdu(values: Sequence[Value]) -> bytes:
    body = b"".join(value.encoded() for value in values)
    return struct.pack(">BBL", P_DATA_TF, 0, len(body)) + body


def command(**elements: object) -> bytes:
    dataset = Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    encoded = encode(dataset, is_implicit_vr=True, is_little_endian=True)
    assert encoded is not None
    dataset.CommandGroupLength = len(encoded)
    with_length = encode(dataset, is_implicit_vr=True, is_little_endian=True)
    assert with_length is not None
    return with_length


def store_command(sop_instance_uid: str, *, message_id: int = 1, data_set: int = 0x0001) -> bytes:
    return command(
        AffectedSOPClassUID=CT,
        CommandField=0x0001,
        MessageID=message_id,
        Priority=0,
        CommandDataSetType=data_set,
        AffectedSOPInstanceUID=sop_instance_uid,
    )


def echo_command() -> bytes:
    return command(
        AffectedSOPClassUID="1.2.840.10008.1.1",
        CommandField=0x0030,
        MessageID=7,
        CommandDataSetType=0x0101,
    )


@dataclass(frozen=True)
class Heard:
    """What came back until the connection was closed: PDU types, and the command sets."""

    kinds: tuple[int, ...]
    answers: tuple[Dataset, ...]

    @property
    def stored(self) -> list[str]:
        return [str(a.AffectedSOPInstanceUID) for a in self.answers if self._is_success(a)]

    @staticmethod
    def _is_success(answer: Dataset) -> bool:
        return bool(answer.CommandField == 0x8001 and answer.Status == 0)


class Wire:
    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def send(self, data: bytes, *, pieces: Sequence[int] = ()) -> None:
        """Send, cut into pieces of these lengths and the rest."""
        with suppress(ConnectionError):  # told by what is heard
            for length in pieces:
                self._connection.sendall(data[:length])
                data = data[length:]
            self._connection.sendall(data)

    def hang_up(self) -> None:
        """Say that nothing more comes, and go on listening."""
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_WR)

    def hear_all(self) -> Heard:
        """Listen until the other side closes."""
        kinds: list[int] = []
        answers: list[Dataset] = []
        while (heard := self.hear()) is not None:
            kinds.append(heard[0])
            if heard[0] == P_DATA_TF:
                answers.append(decode(BytesIO(heard[1][6:]), True, True))
        return Heard(tuple(kinds), tuple(answers))

    def hear(self) -> tuple[int, bytes] | None:
        header = self._exactly(6)
        if header is None:
            return None
        kind, length = struct.unpack(">BxL", header)
        body = self._exactly(length)
        return None if body is None else (kind, body)

    def _exactly(self, wanted: int) -> bytes | None:
        data = b""
        while len(data) < wanted:
            try:
                part = self._connection.recv(wanted - len(data))
            except ConnectionError:
                return None
            if not part:
                return None
            data += part
        return data


@contextmanager
def wire_to(port: int) -> Iterator[Wire]:
    """An association for CT in explicit VR little endian, and for verification."""
    with socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(_request())
        wire = Wire(connection)
        answer = wire.hear()
        assert answer is not None
        assert answer[0] == 0x02
        yield wire


def _request() -> bytes:
    primitive = A_ASSOCIATE()
    primitive.application_context_name = "1.2.840.10008.3.1.1.1"
    primitive.calling_ae_title, primitive.called_ae_title = "FUZZ", "NODE"
    contexts = [build_context(CT, EXPLICIT), build_context("1.2.840.10008.1.1", EXPLICIT)]
    for context, context_id in zip(contexts, (CONTEXT_ID, VERIFICATION_ID), strict=True):
        context.context_id = context_id
    primitive.presentation_context_definition_list = contexts
    maximum, implementation = MaximumLengthNotification(), ImplementationClassUIDNotification()
    maximum.maximum_length_received = 16384
    implementation.implementation_class_uid = "1.2.3.4"
    primitive.user_information = [maximum, implementation]
    return bytes(A_ASSOCIATE_RQ(primitive).encode())
