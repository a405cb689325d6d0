"""PDUs of association negotiation by hand, as odd as a test wants them."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

VERIFICATION = b"1.2.840.10008.1.1"
CT = b"1.2.840.10008.5.1.4.1.1.2"
IMPLICIT = b"1.2.840.10008.1.2"
RQ, AC, RJ, RELEASE_RP, ABORT = 1, 2, 3, 6, 7
LIMIT_S = 20.0


def item(kind: int, value: bytes = b"") -> bytes:
    return struct.pack(">BxH", kind, len(value)) + value


def pdu(kind: int, body: bytes) -> bytes:
    return struct.pack(">BxL", kind, len(body)) + body


def context(number: int, *sub_items: bytes) -> bytes:
    return item(0x20, bytes((number, 0, 0, 0)) + b"".join(sub_items))


def abstract(uid: bytes) -> bytes:
    return item(0x30, uid)


def transfer(uid: bytes = IMPLICIT) -> bytes:
    return item(0x40, uid)


ECHO = context(1, abstract(VERIFICATION), transfer())
APPLICATION = item(0x10, b"1.2.840.10008.3.1.1.1")
MAXIMUM = item(0x51, struct.pack(">L", 16384))
CLASS_UID = item(0x52, b"1.2.3.4")


def user(*extra: bytes) -> bytes:
    return item(0x50, MAXIMUM + CLASS_UID + b"".join(extra))


def associate(
    *items: bytes,
    kind: int = RQ,
    called: bytes = b"NODE".ljust(16),
    calling: bytes = b"MODALITY".ljust(16),
    version: int = 1,
) -> bytes:
    head = struct.pack(">HH", version, 0) + called + calling + bytes(32)
    return pdu(kind, head + b"".join(items))


def request(*extra: bytes, contexts: Sequence[bytes] = (ECHO,), **fields: bytes) -> bytes:
    """A request for Verification, with further sub-items in its user information."""
    return associate(APPLICATION, *contexts, user(*extra), **fields)  # type: ignore[arg-type]


def read_pdu(connection: socket.socket) -> tuple[int, bytes]:
    """Read a PDU; type 0 when the connection was closed."""
    head = _read(connection, 6)
    if len(head) < 6:
        return 0, b""
    kind, length = struct.unpack(">BxL", head)
    return kind, _read(connection, length)


def _read(connection: socket.socket, wanted: int) -> bytes:
    data = b""
    with suppress(ConnectionError):
        while len(data) < wanted and (part := connection.recv(wanted - len(data))):
            data += part
    return data


def ask(port: int, encoded: bytes) -> tuple[int, bytes]:
    """Send a request, and return type and body of the answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S) as connection:
        connection.sendall(encoded)
        return read_pdu(connection)


def results(body: bytes) -> dict[int, int]:
    """Results of an A-ASSOCIATE-AC by presentation context."""
    found: dict[int, int] = {}
    position = 68
    while position + 4 <= len(body):
        kind, length = struct.unpack_from(">BxH", body, position)
        if kind == 0x21:
            found[body[position + 4]] = body[position + 6]
        position += 4 + length
    return found


@contextmanager
def acceptor(answer: bytes) -> Iterator[int]:
    """A peer that answers each association request with the same bytes, then C-ECHO and release."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_serve, args=(server, answer), daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def _serve(server: socket.socket, answer: bytes) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection:
            connection.settimeout(LIMIT_S)
            while (received := read_pdu(connection))[0] not in (0, ABORT):
                with suppress(OSError):
                    connection.sendall(_answer_to(*received, association=answer))


def _answer_to(kind: int, body: bytes, *, association: bytes) -> bytes:
    if kind == RQ:
        return association
    if kind != 4:
        return pdu(RELEASE_RP, bytes(4))
    elements = [
        (0x0002, VERIFICATION + b"\0"),
        (0x0100, struct.pack("<H", 0x8030)),
        (0x0120, _element(body[6:], 0x0110)),
        (0x0800, struct.pack("<H", 0x0101)),
        (0x0900, bytes(2)),
    ]
    encoded = b"".join(struct.pack("<HHL", 0, tag, len(value)) + value for tag, value in elements)
    encoded = struct.pack("<HHLL", 0, 0, 4, len(encoded)) + encoded
    return pdu(4, struct.pack(">LBB", len(encoded) + 2, body[4], 3) + encoded)


def _element(command: bytes, wanted: int) -> bytes:
    position = 0
    while position < len(command):
        _, tag, length = struct.unpack_from("<HHL", command, position)
        if tag == wanted:
            return command[position + 8 : position + 8 + length]
        position += 8 + length
    raise AssertionError("no such element")
