"""An answer reaches whoever waits for it, whichever thread looks first."""

from __future__ import annotations

import threading

import pytest
from pynetdicom import AE
from pynetdicom._globals import MODE_REQUESTOR
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_ECHO, C_STORE

from listener.pynetdicom_hooks.dimse import DIMSEProvider


@pytest.fixture
def messages() -> DIMSEProvider:
    return DIMSEProvider(Association(AE("TEST"), MODE_REQUESTOR), wait_s=0.05)


def answer() -> C_STORE:
    primitive = C_STORE()
    primitive.MessageIDBeingRespondedTo = 1
    primitive.Status = 0x0000
    return primitive


def test_the_associations_thread_takes_requests_and_leaves_answers(messages):
    request, response = C_ECHO(), answer()
    messages.msg_queue.put((1, request))
    messages.msg_queue.put((3, response))
    assert messages.get_msg() == (1, request)
    assert messages.get_msg() == (None, None)
    assert messages.get_msg(block=True) == (3, response)


def test_who_waits_for_an_answer_gets_it_while_the_associations_thread_looks(messages):
    got, done = [], threading.Event()

    def look() -> None:
        while not done.is_set():
            assert messages.get_msg() == (None, None)

    looking = [threading.Thread(target=look) for _ in range(4)]
    for thread in looking:
        thread.start()
    for _ in range(200):
        response = answer()
        waiting = threading.Thread(target=lambda: got.append(messages.get_msg(block=True)))
        waiting.start()
        messages.msg_queue.put((5, response))
        waiting.join(20)
        assert not waiting.is_alive()
        assert got.pop() == (5, response)
    done.set()
    for thread in looking:
        thread.join()
