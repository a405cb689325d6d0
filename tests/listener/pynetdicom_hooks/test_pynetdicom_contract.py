"""Inside of pynetdicom that the listener relies on: a new release that changes it fails here first.

Each line names the module of ours that relies on something, and why. When one fails after an
update, read that module against pynetdicom's new source before you change the line; the upper
bound of pynetdicom in pyproject.toml moves only when this file and `make soak` pass.
"""

from __future__ import annotations

import inspect
import queue
import re
from functools import reduce
from pathlib import Path
from typing import Any

import pynetdicom
import pytest
from pynetdicom import AE, _config, dsutils, dul, fsm, pdu, pdu_items, transport
from pynetdicom._globals import MODE_ACCEPTOR, MODE_REQUESTOR
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.pdu_primitives import A_ASSOCIATE, P_DATA
from pynetdicom.presentation import PresentationContext

HOOKS = "listener/pynetdicom_hooks/"
ROOT = Path(__file__).parents[3]


def look_at(module: str, why: str) -> str:
    return (
        f"pynetdicom {pynetdicom.__version__} differs from what {module} relies on: {why}. "
        "Read that module against the new source, then change it and this line together."
    )


# (what, its parameters, who relies on it, why)
SIGNATURES = [
    ("dul.DULServiceProvider.__init__", "self assoc", "reactor", "the reactor extends it"),
    ("dul.DULServiceProvider.run_reactor", "self", "reactor", "closes what it holds at its end"),
    ("dul.DULServiceProvider.kill_dul", "self", "reactor", "wakes the thread that is to end"),
    ("dul.DULServiceProvider.stop_dul", "self", "reactor", "wakes the thread that is to end"),
    ("dul.DULServiceProvider.idle_timer_expired", "self", "reactor", "storing is no idleness"),
    ("dul.DULServiceProvider._process_recv_primitive", "self", "reactor", "drops late primitives"),
    ("dul.DULServiceProvider._is_transport_event", "self", "reactor", "blocks in poll()"),
    ("dul.DULServiceProvider._read_pdu_data", "self", "reactor", "reads whole PDUs of its own"),
    ("dul.DULServiceProvider._decode_pdu", "self bytestream", "reactor", "caches contexts"),
    ("dul.DULServiceProvider._decode_pdu", "self bytestream", "requestor", "repairs answers"),
    ("fsm.StateMachine.do_action", "self event", "reactor", "sends what waits before an answer"),
    ("transport.AssociationSocket.__init__", "self assoc client_socket address", "socket", ""),
    ("transport.AssociationSocket.send", "self bytestream", "socket", "writes without a select"),
    ("transport.RequestHandler._create_association", "self", "server", "puts our parts in"),
    (
        "transport.ThreadedAssociationServer.__init__",
        "self ae address ae_title contexts ssl_context evt_handlers request_handler",
        "server",
        "is given our request handler",
    ),
    ("transport.ThreadedAssociationServer.server_bind", "self", "server", "sets SO_REUSEPORT"),
    ("transport.ThreadedAssociationServer.get_request", "self", "server", "sets TCP_NODELAY"),
    ("transport.ThreadedAssociationServer.server_close", "self", "server", "stops accepting"),
    (
        "transport.ThreadedAssociationServer.process_request_thread",
        "self request client_address",
        "server",
        "shakes hands in the connection's own thread",
    ),
    ("DIMSEServiceProvider.__init__", "self assoc", "dimse", "the provider extends it"),
    ("DIMSEServiceProvider.get_msg", "self block", "dimse", "leaves answers to their waiters"),
    ("DIMSEServiceProvider.send_msg", "self primitive context_id", "dimse", "one message at once"),
    (
        "DIMSEServiceProvider.receive_primitive",
        "self primitive",
        "c_store_messages",
        "takes every message but C-STORE",
    ),
    ("pdu.A_ASSOCIATE_RQ._wrap_generate_items", "self bytestream", "association_request", ""),
    ("pdu.A_ASSOCIATE_RQ._generate_items", "bytestream", "association_request", ""),
    ("pdu_items.PresentationContextItemRQ.decode", "self bytestream", "association_request", ""),
    ("pdu_items.PresentationContextItemRQ.to_primitive", "self", "association_request", ""),
    ("ACSE.send_reject", "self result source diagnostic", "acceptor", "rejects with our reasons"),
    ("Association.kill", "self", "acceptor", "ends the threads of a rejected association"),
    ("dsutils.split_dataset", "path", "spool/part10, scu", "finds the data set in a file"),
]


def found(path: str) -> Any:
    first, *rest = path.split(".")
    roots = {
        "dul": dul, "fsm": fsm, "transport": transport, "pdu": pdu, "pdu_items": pdu_items,
        "DIMSEServiceProvider": DIMSEServiceProvider, "Association": Association,
        "dsutils": dsutils, "ACSE": type(Association(AE("A"), MODE_REQUESTOR).acse),
    }  # fmt: skip
    return reduce(getattr, rest, roots[first])


@pytest.mark.parametrize(("path", "parameters", "module", "why"), SIGNATURES)
def test_a_method_that_is_called_or_overridden_has_its_parameters(path, parameters, module, why):
    message = look_at(f"{HOOKS}{module}.py", f"{path}({parameters}) {why}")
    try:
        signature = inspect.signature(found(path))
    except AttributeError:
        pytest.fail(message)
    assert " ".join(signature.parameters) == parameters, message


def test_the_library_calls_what_the_reactor_overrides():
    called = set(dul.DULServiceProvider.run_reactor.__code__.co_names)
    needed = {"_process_recv_primitive", "_is_transport_event", "do_action", "_run_loop_delay"}
    assert needed <= called, look_at(HOOKS + "reactor.py", f"run_reactor uses {needed}")
    association = set(Association._run_reactor.__code__.co_names)
    assert {"get_msg", "idle_timer_expired"} <= association, look_at(
        HOOKS + "reactor.py and dimse.py", "the association's loop asks get_msg and the idle timer"
    )


def test_the_reactors_queues_timers_and_flags_have_their_names():
    provider = Association(AE("A"), MODE_ACCEPTOR).dul
    kinds = {
        "event_queue": queue.Queue, "_recv_pdu": queue.Queue, "to_provider_queue": queue.Queue,
        "to_user_queue": queue.Queue, "_idle_timer": object, "_run_loop_delay": float,
        "_kill_thread": bool, "state_machine": fsm.StateMachine,
    }  # fmt: skip
    for name, kind in kinds.items():
        assert isinstance(getattr(provider, name, None), kind), look_at(
            HOOKS + "reactor.py", f"DULServiceProvider.{name}"
        )
    assert callable(provider._idle_timer.restart)
    assert "socket" in vars(provider), look_at(HOOKS + "server.py", "DULServiceProvider.socket")


def test_the_state_machine_has_the_states_events_and_actions_of_ps3_8():
    table = fsm.TRANSITION_TABLE
    where = look_at(HOOKS + "reactor.py", "states and events of the state machine")
    assert {f"Sta{number}" for number in range(1, 14)} == set(fsm.STATES), where
    assert fsm.StateMachine(Association(AE("A"), MODE_ACCEPTOR).dul).current_state == "Sta1", where
    assert table["Evt6", "Sta2"] == "AE-6", where  # an association request is judged
    assert table["Evt9", "Sta6"] == "DT-1", where  # P-DATA is sent
    assert table["Evt10", "Sta6"] == "DT-2", where  # Sta6: data transfer
    assert table["Evt17", "Sta6"] == "AA-4", where  # the connection closed
    assert table["Evt19", "Sta6"] == "AA-8", where  # an invalid PDU is answered with A-ABORT
    assert table["Evt19", "Sta13"] == "AA-7", where  # Sta13: the close is awaited
    assert table["Evt17", "Sta13"] == "AR-5", where
    for state in ("Sta1", "Sta13"):  # the reactor drops these, since they would end its thread
        for event in ("Evt9", "Evt14"):
            assert (event, state) not in table, where


def test_an_association_request_is_event_6_and_its_contexts_are_item_20h():
    where = look_at(HOOKS + "association_request.py and reactor.py", "A-ASSOCIATE-RQ decoding")
    assert dul._PDU_TYPES[b"\x01"] == (pdu.A_ASSOCIATE_RQ, "Evt6"), where
    assert pdu_items.PDU_ITEM_TYPES[0x20] is pdu_items.PresentationContextItemRQ, where
    assert PresentationContext()._transfer_syntax == [], where
    primitive = P_DATA()
    assert primitive.presentation_data_value_list == [], look_at(
        HOOKS + "c_store_messages.py", "P_DATA.presentation_data_value_list"
    )


def test_an_association_has_the_parts_that_are_replaced_or_read():
    association = Association(AE("A"), MODE_ACCEPTOR)
    where = look_at(HOOKS + "server.py, acceptor.py and requestor.py", "parts of an Association")
    for name in ("dul", "dimse", "acse", "requestor", "acceptor", "is_established", "is_aborted"):
        assert hasattr(association, name), where
    assert isinstance(association.dimse.msg_queue, queue.Queue), where
    for name in ("primitive", "address", "ae_title", "maximum_length"):
        assert hasattr(type(association.requestor), name) or name in vars(association.requestor), (
            where
        )
    association.acceptor.supported_contexts = []
    association.acse_timeout = association.network_timeout = 1
    assert {"result_str", "reason_str"} <= set(dir(A_ASSOCIATE)), look_at(
        "listener/scu/association.py", "the text of a rejection"
    )
    created = inspect.getsource(transport.RequestHandler._create_association)
    assert "AcceptorThread@" in created, look_at(
        "listener/scp/scp.py", "active_associations finds threads by their name"
    )


def test_an_event_carries_its_primitive_and_a_switch_silences_the_log():
    source = inspect.getsource(dul.DULServiceProvider.receive_pdu)
    assert re.search(r'EVT_ACSE_RECV, \{"primitive"', source), look_at(
        HOOKS + "requestor.py", "an abort is seen in EVT_ACSE_RECV"
    )
    for name, kind in (("STORE_SEND_CHUNKED_DATASET", bool), ("LOG_HANDLER_LEVEL", str)):
        assert isinstance(getattr(_config, name, None), kind), look_at(
            HOOKS + "options.py", f"_config.{name}"
        )


PUBLIC = {"pynetdicom", "pynetdicom.association", "pynetdicom.presentation", "pynetdicom.dsutils"}


def test_only_the_hooks_import_what_pynetdicom_does_not_document():
    for path in sorted((ROOT / "listener").rglob("*.py")):
        if path.parent.name == "pynetdicom_hooks":
            continue
        source = path.read_text(encoding="utf-8")
        for module, names in re.findall(r"from (pynetdicom[\w.]*) import ([\w, ()]+)", source):
            assert module in PUBLIC, f"{path} imports {module}; put it behind pynetdicom_hooks"
            assert not re.search(r"\b_\w", names), f"{path} imports {names}"
