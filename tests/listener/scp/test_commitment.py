"""Storage Commitment: who asks learns what is safe, whatever happens in between."""

from __future__ import annotations

import dataclasses
import threading

import pydicom
import pytest
from pydicom.uid import generate_uid

from listener.access import AllowedPeer, Permission
from listener.errors import CommitmentRefusedError, NoPresentationContextError
from listener.scp import CommitmentProvider
from listener.scu import CommitmentReport, Peer, SOPReference, request_commitment, store
from tests.conftest import WAIT_LIMIT_S, wait_until
from tests.listener.conftest import CT, free_port, peer_of

MR = "1.2.840.10008.5.1.4.1.1.4"
STORE_AND_ASK = frozenset({Permission.STORE, Permission.COMMITMENT})


class Asker:
    """A node of its own that asks, and takes the reports."""

    def __init__(self, start_scp) -> None:
        self.reports: list[CommitmentReport] = []
        self.scp = start_scp(
            on_commitment=self.reports.append,
            peers=(AllowedPeer("node", "NODE", may=frozenset({Permission.REPORT})),),
        )


@pytest.fixture
def start_committing(start_scp, spool):
    providers = []

    def start(call_back, *, peers=None, **options):
        provider = CommitmentProvider(spool, report_address=call_back, **options)
        providers.append(provider)
        provider.start()
        peers = peers or (AllowedPeer("ct1", "MODALITY", may=STORE_AND_ASK),)
        return start_scp(commitment=provider, peers=peers), provider

    yield start
    for provider in providers:
        provider.stop()


def reference(path, sop_class: str = CT) -> SOPReference:
    return SOPReference(sop_class, str(pydicom.dcmread(path).SOPInstanceUID))


def test_what_is_in_the_spool_is_committed_and_what_is_not_is_told_with_the_reason(
    start_scp, start_committing, make_ct
):
    asker = Asker(start_scp)
    scp, provider = start_committing(lambda _: peer_of(asker.scp, calling="NODE"))
    paths = [make_ct("1.2.3", "1.2.3.1") for _ in range(3)]
    store(peer_of(scp), paths[:2])
    uid = generate_uid()
    kept, other_class, missing = (
        reference(paths[0]),
        reference(paths[1], sop_class=MR),
        reference(paths[2]),
    )
    request_commitment(peer_of(scp), [kept, other_class, missing], transaction_uid=uid)
    wait_until(lambda: bool(asker.reports), "the report")
    assert asker.reports == [
        CommitmentReport(uid, (kept,), ((other_class, 0x0119), (missing, 0x0112)))
    ]
    wait_until(lambda: provider.waiting() == [], "the request to be done with")
    assert scp.statistics.commitments == 1


def test_without_an_address_to_call_the_report_comes_on_the_association_that_asked(
    start_committing, make_ct
):
    from pydicom.dataset import Dataset
    from pynetdicom import AE, evt

    scp, _ = start_committing(lambda _: None)
    path = make_ct("1.2.3", "1.2.3.1")
    store(peer_of(scp), [path])
    reports = []
    arrived = threading.Event()

    def take(event):
        reports.append((event.event_type, event.event_information))
        arrived.set()
        return 0x0000, None

    sender = AE("MODALITY")
    sender.add_requested_context("1.2.840.10008.1.20.1")
    association = sender.associate(
        "127.0.0.1", scp.port, ae_title="NODE", evt_handlers=[(evt.EVT_N_EVENT_REPORT, take)]
    )
    information = Dataset()
    information.TransactionUID = generate_uid()
    item = Dataset()
    item.ReferencedSOPClassUID = CT
    item.ReferencedSOPInstanceUID = reference(path).sop_instance_uid
    information.ReferencedSOPSequence = [item]
    status, _ = association.send_n_action(
        information, 1, "1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1"
    )
    assert status.Status == 0
    assert arrived.wait(WAIT_LIMIT_S)
    association.release()
    ((kind, told),) = reports
    assert kind == 1
    assert told.TransactionUID == information.TransactionUID
    assert len(told.ReferencedSOPSequence) == 1


def test_our_own_question_takes_a_report_on_its_own_association(start_committing, make_ct):
    scp, provider = start_committing(lambda _: None)
    path = make_ct("1.2.3", "1.2.3.1")
    store(peer_of(scp), [path])
    report = request_commitment(
        peer_of(scp), [reference(path)], transaction_uid="1.2.3.4.5", wait_s=60
    )
    assert report == CommitmentReport("1.2.3.4.5", (reference(path),), ())
    wait_until(lambda: provider.waiting() == [], "the request to be done with")


def test_a_report_that_nobody_takes_is_sent_again_after_a_restart(
    start_scp, start_committing, spool, make_ct
):
    nobody = dataclasses.replace(Peer("ASKER", "127.0.0.1", free_port()), connect_timeout_s=1)
    scp, provider = start_committing(lambda _: nobody)
    path = make_ct("1.2.3", "1.2.3.1")
    store(peer_of(scp), [path])
    asked = [reference(path)]
    assert request_commitment(peer_of(scp), asked, transaction_uid="1.2.3.4.5", wait_s=0) is None
    provider.stop()
    assert len(provider.waiting()) == 1
    asker = Asker(start_scp)
    again = CommitmentProvider(
        spool, report_address=lambda _: peer_of(asker.scp, calling="NODE"), retry_s=0.1
    )
    again.start()
    wait_until(lambda: bool(asker.reports), "the report")
    wait_until(lambda: again.waiting() == [], "the request to be done with")
    again.stop()
    assert asker.reports[0].transaction_uid == "1.2.3.4.5"


def test_who_may_not_ask_is_refused_at_negotiation(start_committing):
    scp, _ = start_committing(lambda _: None, peers=(AllowedPeer("ct1", "MODALITY"),))
    with pytest.raises(NoPresentationContextError):
        request_commitment(peer_of(scp), [SOPReference(CT, "1.2.3")], transaction_uid="1.2.3.4")


@pytest.mark.parametrize("uid", ["../../x", ""])
def test_a_request_whose_transaction_is_no_uid_is_refused(uid, start_committing):
    scp, provider = start_committing(lambda _: None)
    with pytest.raises(CommitmentRefusedError, match="0115H"):
        request_commitment(peer_of(scp), [SOPReference(CT, "1.2.3")], transaction_uid=uid)
    assert provider.waiting() == []


def test_a_report_that_can_not_be_noted_is_answered_as_a_failure(start_scp):
    from listener.scu import send_report

    def fail(_report):
        raise RuntimeError("the database is away")

    asker = start_scp(
        on_commitment=fail,
        peers=(AllowedPeer("node", "NODE", may=frozenset({Permission.REPORT})),),
    )
    with pytest.raises(CommitmentRefusedError, match="0110H"):
        send_report(peer_of(asker, calling="NODE"), CommitmentReport("1.2.3", (), ()))
