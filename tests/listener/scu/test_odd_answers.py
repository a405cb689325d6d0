"""Peers whose answers to an association request depart from the standard."""

from __future__ import annotations

import struct

import pytest

from listener.errors import (
    AssociationAbortedError,
    AssociationRejectedError,
    NoPresentationContextError,
)
from listener.scu import Peer, echo
from tests.listener.odd_pdus import (
    ABORT,
    AC,
    APPLICATION,
    IMPLICIT,
    RJ,
    VERIFICATION,
    acceptor,
    associate,
    item,
    pdu,
    transfer,
    user,
)

ROLE = struct.pack(">H", len(VERIFICATION)) + VERIFICATION


def result(number: int = 1, value: int = 0, syntax: bytes = IMPLICIT) -> bytes:
    return item(0x21, bytes((number, 0, value, 0)) + transfer(syntax))


def accept(*items: bytes, **fields: bytes) -> bytes:
    return associate(*items, kind=AC, **fields)  # type: ignore[arg-type]


ODD = {
    "titles of NULs": accept(
        APPLICATION, result(), user(), called=bytes(16), calling=b"NODE".ljust(16, b"\0")
    ),
    "titles of rubbish": accept(APPLICATION, result(), user(), called=b"\x01\xff\\".ljust(16)),
    "version name of 24": accept(APPLICATION, result(), user(item(0x55, b"V" * 24))),
    "version name beyond ASCII": accept(APPLICATION, result(), user(item(0x55, b"V\xe9"))),
    "unknown user item": accept(APPLICATION, result(), user(item(0x5A, b"new"))),
    "unknown item": accept(APPLICATION, item(0x77, b"x"), result(), user()),
    "a request's context": accept(APPLICATION, item(0x20, b"\1\0\0\0"), result(), user()),
    "bytes behind the last item": accept(APPLICATION, result(), user(), b"\0\0\0"),
    "no user information": accept(APPLICATION, result()),
    "user information first": accept(user(), result(), APPLICATION),
    "no application context": accept(result(), user()),
    "contexts that were not proposed": accept(
        APPLICATION, result(3), result(2), result(), result(0), user()
    ),
    "syntax with NULs": accept(APPLICATION, result(syntax=IMPLICIT + b"\0\0"), user()),
    "asynchronous operations 0 and 0": accept(APPLICATION, result(), user(item(0x53, bytes(4)))),
    "a role that was not proposed": accept(APPLICATION, result(), user(item(0x54, ROLE + b"\0\1"))),
    "a role cut short": accept(APPLICATION, result(), user(item(0x54, ROLE))),
    "user identity cut short": accept(APPLICATION, result(), user(item(0x59, b"\0"))),
    "extended negotiation of rubbish": accept(APPLICATION, result(), user(item(0x56, b"\0\xff"))),
    "protocol version with further bits": associate(
        APPLICATION, result(), user(), kind=AC, version=3
    ),
}


def odd_peer(port: int) -> Peer:
    return Peer("PACS", "127.0.0.1", port, calling_ae_title="NODE", acse_timeout_s=20)


@pytest.mark.parametrize("answer", ODD.values(), ids=list(ODD))
def test_an_odd_acceptance_is_taken(answer):
    with acceptor(answer) as port:
        assert echo(odd_peer(port)).round_trip_s > 0


@pytest.mark.parametrize(
    "contexts",
    [
        (),
        (result(value=1),),
        (result(value=77),),
        (result(value=3, syntax=b"\xff\xff"),),
        (item(0x21, b"\1\0\0\0"),),
    ],
    ids=["none", "refused", "another number", "refused with rubbish", "without a syntax"],
)
def test_an_acceptance_without_our_context_is_told_as_one(contexts):
    with (
        acceptor(accept(APPLICATION, *contexts, user())) as port,
        pytest.raises(NoPresentationContextError),
    ):
        echo(odd_peer(port))


@pytest.mark.parametrize(
    ("body", "why", "transient"),
    [
        (bytes((0, 1, 1, 3)), r"Calling AE title not recognised \(for good\)", False),
        (bytes((0, 2, 3, 1)), r"Temporary congestion \(for now\)", True),
        (bytes((0, 1, 1, 99)), "Reason 99 of source 1", False),
        (bytes((0, 9, 9, 9)), "Reason 9 of source 9", False),
        (b"", "Reason 0 of source 0", False),
    ],
)
def test_a_rejection_is_told_in_words_whatever_its_numbers(body, why, transient):
    with (
        acceptor(pdu(RJ, body)) as port,
        pytest.raises(AssociationRejectedError, match=f"rejected NODE: {why}") as caught,
    ):
        echo(odd_peer(port))
    assert caught.value.transient is transient


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (pdu(ABORT, bytes((0, 0, 2, 2))), "a PDU that it did not expect"),
        (pdu(ABORT, bytes((0, 0, 7, 77))), "source 7"),
        (pdu(AC, bytes(10)), "can't be read: an A-ASSOCIATE PDU of 16 bytes"),
        (accept(APPLICATION, b"\x21\0\0\xff"), "can't be read: an item of type 21H"),
    ],
)
def test_an_end_during_negotiation_is_told_in_words(answer, why):
    with acceptor(answer) as port, pytest.raises(AssociationAbortedError, match=why):
        echo(odd_peer(port))
