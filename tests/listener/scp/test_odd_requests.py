"""Association requests that depart from the standard: what can be understood is answered."""

from __future__ import annotations

import socket
import struct

import pytest

from listener.access import AllowedPeer
from listener.scu import echo
from tests.conftest import wait_until
from tests.listener.conftest import dcmtk, peer_of
from tests.listener.odd_pdus import (
    ABORT,
    AC,
    APPLICATION,
    CLASS_UID,
    CT,
    ECHO,
    IMPLICIT,
    MAXIMUM,
    RJ,
    VERIFICATION,
    abstract,
    ask,
    associate,
    context,
    item,
    pdu,
    request,
    results,
    transfer,
    user,
)

ROLE = struct.pack(">H", len(VERIFICATION)) + VERIFICATION
OTHER = context(3, abstract(CT), transfer())

ODD = {
    "called title padded with NUL": request(called=b"NODE".ljust(16, b"\0")),
    "called title, NUL, spaces": request(called=b"NODE\0".ljust(16)),
    "called title, NUL, rubbish": request(called=b"NODE\0\xff\x01rubbish!!!"[:16].ljust(16, b"x")),
    "calling title padded with NUL": request(calling=b"MODALITY".ljust(16, b"\0")),
    "spaces before titles": request(called=b"  NODE".ljust(16), calling=b" MODALITY".ljust(16)),
    "protocol version with further bits": associate(APPLICATION, ECHO, user(), version=0xFFFF),
    "version name of 17": request(item(0x55, b"SEVENTEEN_LETTERS")),
    "version name of 300": request(item(0x55, b"V" * 300)),
    "version name with NULs": request(item(0x55, b"V1\0\0")),
    "version name of blanks": request(item(0x55, b"    ")),
    "version name with a control character": request(item(0x55, b"V\n1")),
    "version name beyond ASCII": request(item(0x55, b"V\xe9\\")),
    "unknown user item": request(item(0x5A, b"whatever"), item(0xFF), item(0x00)),
    "unknown user item before the known": associate(
        APPLICATION, ECHO, item(0x50, item(0x77, b"x") + CLASS_UID + MAXIMUM)
    ),
    "unknown item": associate(APPLICATION, item(0x77, b"xx"), ECHO, user()),
    "unknown item in a context": request(
        contexts=[context(1, abstract(VERIFICATION), item(0x41, b"zz"), transfer())]
    ),
    "user information first": associate(user(), ECHO, APPLICATION),
    "no user information": associate(APPLICATION, ECHO),
    "user information twice": associate(APPLICATION, ECHO, user(), user()),
    "no application context": associate(ECHO, user()),
    "application context with NUL": associate(
        item(0x10, b"1.2.840.10008.3.1.1.1\0\0"), ECHO, user()
    ),
    "a byte behind the last item": associate(APPLICATION, ECHO, user(), b"\0"),
    "zeros behind the last item": associate(APPLICATION, ECHO, user(), bytes(7)),
    "text behind the last item": associate(APPLICATION, ECHO, user(), b"rubbish!"),
    "bytes behind the user items": request(b"\0\0\0"),
    "user item longer than its PDU": request(b"\x5a\0\0\x50ab"),
    "bytes behind a context's syntaxes": request(
        contexts=[context(1, abstract(VERIFICATION), transfer(), b"\0\0\0")]
    ),
    "maximum length of two bytes": associate(
        APPLICATION, ECHO, item(0x50, item(0x51, b"\x40\0") + CLASS_UID)
    ),
    "maximum length of six bytes": associate(
        APPLICATION, ECHO, item(0x50, item(0x51, b"\0\0\x40\0\0\0") + CLASS_UID)
    ),
    "class UID of 72": associate(
        APPLICATION, ECHO, item(0x50, MAXIMUM + item(0x52, b"1." + b"2" * 70))
    ),
    "class UID beyond ASCII": associate(
        APPLICATION, ECHO, item(0x50, MAXIMUM + item(0x52, b"1.\xff"))
    ),
    "asynchronous operations 0 and 0": request(item(0x53, bytes(4))),
    "asynchronous operations cut short": request(item(0x53, bytes(2))),
    "role cut short": request(item(0x54, ROLE)),
    "role with a wrong length": request(item(0x54, struct.pack(">H", 99) + VERIFICATION)),
    "role with other numbers": request(item(0x54, ROLE + b"\2\3")),
    "extended negotiation": request(item(0x56, ROLE + b"\1\1\1")),
    "extended negotiation, empty": request(item(0x56)),
    "common extended negotiation, rubbish": request(item(0x57, b"\0\xff12")),
    "user identity of an unknown type": request(item(0x58, b"\x09\1\0\3bob\0\0")),
    "user identity cut short": request(item(0x58, b"\1")),
    "user identity of a server": request(item(0x59, b"\0\3abc")),
    "UIDs with two NULs": request(
        contexts=[context(1, abstract(VERIFICATION + b"\0\0"), transfer(IMPLICIT + b"\0\0"))]
    ),
    "UIDs with spaces": request(
        contexts=[context(1, abstract(b" " + VERIFICATION + b" "), transfer(IMPLICIT + b" "))]
    ),
    "transfer syntax first": request(contexts=[context(1, transfer(), abstract(VERIFICATION))]),
    "an empty transfer syntax": request(
        contexts=[context(1, abstract(VERIFICATION), transfer(b""), transfer())]
    ),
    "a transfer syntax beyond ASCII": request(
        contexts=[context(1, abstract(VERIFICATION), transfer(b"1.\xff"), transfer())]
    ),
    "a transfer syntax of 72": request(
        contexts=[context(1, abstract(VERIFICATION), transfer(b"1." + b"2" * 70), transfer())]
    ),
    "the same context twice": request(contexts=[ECHO, ECHO]),
    "a context of an acceptor": request(contexts=[item(0x21, b"\1\0\0\0" + transfer()), ECHO]),
    "an empty context": request(contexts=[item(0x20), ECHO]),
    "an even context": request(contexts=[context(2, abstract(CT), transfer()), ECHO]),
}


@pytest.mark.parametrize("encoded", ODD.values(), ids=list(ODD))
def test_an_odd_request_is_accepted(encoded, start_scp):
    scp = start_scp(peers=(AllowedPeer("ct1", "MODALITY"),))
    kind, body = ask(scp.port, encoded)
    assert (kind, results(body)) == (AC, {1: 0})


@pytest.mark.parametrize(
    ("syntaxes", "result"),
    [
        ([abstract(VERIFICATION)], 4),
        ([abstract(VERIFICATION), transfer(b"")], 4),
        ([transfer()], 3),
        ([abstract(b""), transfer()], 3),
        ([abstract(b"1." + b"2" * 70), transfer()], 3),
        ([abstract(b"rubbish"), transfer()], 3),
        ([], 3),
    ],
)
def test_a_context_that_says_too_little_is_refused_and_the_others_live(syntaxes, result, start_scp):
    scp = start_scp(peers=(AllowedPeer("ct1", "MODALITY"),))
    kind, body = ask(scp.port, request(contexts=[context(5, *syntaxes), ECHO]))
    assert (kind, results(body)) == (AC, {5: result, 1: 0})


def test_of_two_contexts_of_one_number_the_first_counts(start_scp):
    scp = start_scp(peers=(AllowedPeer("ct1", "MODALITY", may=frozenset()),))
    again = context(1, abstract(CT), transfer())
    assert results(ask(scp.port, request(contexts=[ECHO, again]))[1]) == {1: 0}
    assert results(ask(scp.port, request(contexts=[again, ECHO]))[1]) == {1: 3}


def test_more_than_128_contexts_are_answered_by_number(start_scp):
    scp = start_scp(peers=(AllowedPeer("ct1", "MODALITY"),))
    contexts = [context((2 * n + 1) % 256, abstract(CT), transfer()) for n in range(140)]
    kind, body = ask(scp.port, request(contexts=contexts))
    assert kind == AC
    assert results(body) == dict.fromkeys(range(1, 256, 2), 0)


@pytest.mark.parametrize("title", [b" " * 16, bytes(16), b"PACS\xe9".ljust(16), b"A\nB".ljust(16)])
def test_a_title_that_is_none_is_rejected_and_escaped_in_the_log(title, start_scp, capsys):
    scp = start_scp(peers=(AllowedPeer("ct1", "MODALITY"),))
    kind, body = ask(scp.port, request(calling=title))
    assert (kind, body[1:4]) == (RJ, bytes((1, 1, 3)))
    line = line_with("association.rejected", capsys)
    assert "no peer with this calling AE title is allowed" in line
    assert line.isascii()


def test_a_title_that_is_none_is_no_obstacle_where_all_may_associate(start_scp):
    scp = start_scp()
    assert ask(scp.port, request(calling=bytes(16)))[0] == AC
    assert ask(scp.port, request(calling=b"PACS\xe9".ljust(16)))[0] == AC


def test_characters_that_no_title_has_match_no_peer(start_scp):
    scp = start_scp(peers=(AllowedPeer("odd", "A?B"),))
    assert ask(scp.port, request(calling=b"A\x01B".ljust(16)))[0] == RJ
    assert ask(scp.port, request(calling=b"A?B".ljust(16)))[0] == AC


@pytest.mark.parametrize("version", [0, 2])
def test_another_protocol_version_is_rejected_in_the_log(version, start_scp, capsys):
    scp = start_scp()
    kind, body = ask(scp.port, associate(APPLICATION, ECHO, user(), version=version))
    assert (kind, body[1:4]) == (RJ, bytes((1, 2, 2)))
    line = line_with("association.rejected", capsys)
    assert "127.0.0.1" in line
    assert "protocol version" in line


@pytest.mark.parametrize(
    ("encoded", "why"),
    [
        (pdu(1, bytes(20)), "shorter than its fields"),
        (associate(APPLICATION, ECHO, b"\x20\0\x10\0\7\0\0\0"), "longer than the PDU"),
        (
            request(contexts=[context(1, b"\x30\0\0\xff" + VERIFICATION)]),
            "longer than presentation context 1",
        ),
    ],
)
def test_a_request_that_can_not_be_read_is_aborted_and_logged_with_its_sender(
    encoded, why, start_scp, capsys
):
    scp = start_scp()
    assert ask(scp.port, encoded)[0] == ABORT
    line = line_with("association.aborted", capsys)
    assert "127.0.0.1" in line
    assert why in line
    if len(encoded) > 26:
        assert "MODALITY" in line
        assert "NODE" in line
    assert echo(peer_of(scp)).round_trip_s > 0


@pytest.mark.parametrize(
    ("ending", "why"),
    [
        (pdu(ABORT, bytes((0, 0, 0, 0))), "the peer aborted: its application"),
        (pdu(ABORT, bytes((0, 0, 2, 6))), "its DICOM library, a parameter with an invalid value"),
        (pdu(ABORT, bytes((0, 0, 9, 99))), "the peer aborted: source 9"),
        (pdu(ABORT, b""), "the peer aborted"),
        (b"", "the peer closed the connection"),
        (b"\x09\0\0\0\0\0", "a PDU of unknown type 09H"),
        (pdu(4, b""), "a P-DATA-TF without a value"),
    ],
)
def test_the_log_of_an_abort_names_address_titles_and_reason(ending, why, start_scp, capsys):
    scp = start_scp()
    with socket.create_connection(("127.0.0.1", scp.port), timeout=20) as connection:
        connection.sendall(request())
        assert connection.recv(1) == bytes((AC,))
        connection.sendall(ending)
        if not ending:
            connection.shutdown(socket.SHUT_WR)
        wait_until(lambda: scp.statistics.aborted == 1, "the abort to be counted")
    line = line_with("association.aborted", capsys)
    for part in (why, "127.0.0.1", "MODALITY", "NODE"):
        assert part in line


def test_a_peer_that_falls_silent_is_logged_with_the_time(start_scp, capsys):
    scp = start_scp(network_timeout_s=0.5)
    with socket.create_connection(("127.0.0.1", scp.port), timeout=20) as connection:
        connection.sendall(request())
        wait_until(lambda: scp.statistics.aborted == 1, "the abort to be counted")
    assert "the peer sent nothing for 0.5 s" in line_with("association.aborted", capsys)


def test_a_connection_without_a_word_is_no_association(start_scp, capsys):
    """Load balancers and monitors connect and close, every few seconds."""
    with start_scp() as scp:
        with socket.create_connection(("127.0.0.1", scp.port)):
            pass
        assert echo(peer_of(scp)).round_trip_s > 0
    assert "association.aborted" not in capsys.readouterr().out


def line_with(event: str, capsys: pytest.CaptureFixture[str]) -> str:
    lines: list[str] = []

    def seen() -> bool:
        lines.extend(capsys.readouterr().out.splitlines())
        return any(event in line for line in lines)

    wait_until(seen, f"{event} in the log")
    (found,) = [line for line in lines if event in line]
    return found


def test_dcmtks_storescu_with_its_own_titles_is_served(start_scp, make_ct):
    """The repair leaves a proper request as it is."""
    import subprocess

    scp = start_scp(peers=(AllowedPeer("ct1", "MODALITY"),))
    path = make_ct("1.2.3", "1.2.3.4")
    command = [dcmtk("storescu"), "-aet", "MODALITY", "-aec", "NODE", "127.0.0.1", str(scp.port)]
    subprocess.run([*command, str(path)], check=True)
    assert scp.statistics.stored == 1
