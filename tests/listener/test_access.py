"""Who gets in, who does not, and what each is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listener.access import AccessPolicy, AllowedPeer, Caller, PeerLimits, Rejection
from listener.errors import AssociationRejectedError
from listener.scu import StoreCategory, echo, store
from tests.conftest import wait_until
from tests.listener.conftest import peer_of

CT1 = AllowedPeer("ct1", "CT1", host="192.0.2.0/24")
SECURE = AllowedPeer("secure", "PACS", host="pacs.clinic.example", tls=True)
POLICY = AccessPolicy("NODE", (CT1, SECURE, AllowedPeer("any", "ROAMING")))


def caller(title: str, address: str = "192.0.2.7", **more) -> Caller:
    called = more.pop("called", "NODE")
    return Caller(ae_title=title, called_ae_title=called, address=address, **more)


@pytest.mark.parametrize(
    ("who", "answer"),
    [
        (caller("CT1"), CT1),
        (caller("CT1", "::ffff:192.0.2.7"), CT1),
        (caller("CT1", "198.51.100.1"), Rejection.ADDRESS),
        (caller("ct1"), Rejection.CALLING_AE),
        (caller("STRANGER"), Rejection.CALLING_AE),
        (caller(""), Rejection.CALLING_AE),
        (caller("CT1", called="OTHER"), Rejection.CALLED_AE),
        (caller("STRANGER", called="OTHER"), Rejection.CALLING_AE),
        (caller("ROAMING", "2001:db8::1"), POLICY.peers[2]),
    ],
)
def test_a_caller_is_known_by_title_and_address(who, answer):
    assert POLICY.decide(who) == answer


def test_of_two_peers_with_one_title_the_address_decides():
    first = AllowedPeer("a", "CT", host="192.0.2.1")
    second = AllowedPeer("b", "CT", host="192.0.2.2")
    policy = AccessPolicy("NODE", (first, second))
    assert policy.decide(caller("CT", "192.0.2.2")) is second
    assert policy.decide(caller("CT", "192.0.2.3")) is Rejection.ADDRESS


@pytest.mark.parametrize(
    ("names", "welcome"),
    [
        ({"pacs.clinic.example"}, True),
        ({"PACS.Clinic.Example"}, True),
        ({"pacs.clinic.example."}, True),
        ({"*.clinic.example"}, True),
        ({"*.example"}, False),
        ({"*.pacs.clinic.example"}, False),
        ({"p*.clinic.example"}, False),
        ({"other.clinic.example"}, False),
        ({"*.*.example", "", "*", "pacs.clinic.example"}, True),
        (set(), False),
    ],
)
def test_a_certificate_must_name_the_host_of_its_peer(names, welcome, monkeypatch):
    monkeypatch.setattr(
        "listener.access._is_at", lambda host, address: host == "pacs.clinic.example"
    )
    who = caller("PACS", tls=True, certificate_names=frozenset(names))
    assert POLICY.decide(who) == (SECURE if welcome else Rejection.CERTIFICATE_HOST)
    assert POLICY.decide(caller("PACS")) is Rejection.TLS_NEEDED


@pytest.mark.parametrize(
    ("host", "names", "welcome"),
    [
        ("192.0.2.1", {"192.0.2.1"}, True),
        ("192.0.2.1", {"192.0.2.2", "ct.clinic.example"}, False),
        ("2001:db8::1", {"2001:DB8:0:0:0:0:0:1"}, True),
        ("192.0.2.0/24", {"whoever.clinic.example"}, True),
    ],
)
def test_a_certificate_must_name_the_address_of_its_peer_but_can_not_name_a_network(
    host, names, welcome
):
    peer = AllowedPeer("ct1", "CT1", host=host, tls=True)
    address = host.removesuffix(".0/24") + (".7" if "/" in host else "")
    who = caller("CT1", address, tls=True, certificate_names=frozenset(names))
    answer = AccessPolicy("NODE", (peer,)).decide(who)
    assert answer == (peer if welcome else Rejection.CERTIFICATE_HOST)


@given(st.text(max_size=16), st.ip_addresses().map(str))
def test_a_closed_node_lets_in_nobody_that_is_not_named(title, address):
    answer = POLICY.decide(caller(title, address))
    assert isinstance(answer, Rejection) or answer.ae_title == title


def test_a_peer_from_another_address_hears_only_that_it_is_not_recognised(start_scp):
    scp = start_scp(peers=(AllowedPeer("ct1", "MODALITY", host="192.0.2.1"),))
    with pytest.raises(AssociationRejectedError, match="Calling AE title not recognised"):
        echo(peer_of(scp))
    assert scp.statistics.rejected_address == 1


def test_the_log_of_a_rejection_names_title_address_and_reason(start_scp, capsys):
    scp = start_scp(peers=(AllowedPeer("ct1", "CT1"),))
    with pytest.raises(AssociationRejectedError):
        echo(peer_of(scp, calling="STRANGER"))
    (line,) = [ln for ln in capsys.readouterr().out.splitlines() if "association.rejected" in ln]
    for part in ("STRANGER", "127.0.0.1", "calling_ae"):
        assert part in line


def test_a_peer_that_may_not_store_may_only_echo(start_scp, make_ct):
    from listener.errors import NoPresentationContextError

    scp = start_scp(peers=(AllowedPeer("monitor", "MODALITY", may=frozenset()),))
    assert echo(peer_of(scp)).round_trip_s > 0
    with pytest.raises(NoPresentationContextError):
        store(peer_of(scp), [make_ct("1.2.3", "1.2.3.1")])


def test_one_peer_at_its_limit_is_told_to_come_later_and_others_are_served(start_scp):
    from pynetdicom import AE

    scp = start_scp(
        peers=(
            AllowedPeer("greedy", "GREEDY", limits=PeerLimits(associations=1)),
            AllowedPeer("ct1", "MODALITY"),
        )
    )
    greedy = AE("GREEDY")
    greedy.add_requested_context("1.2.840.10008.1.1")
    held = greedy.associate("127.0.0.1", scp.port, ae_title="NODE")
    with pytest.raises(AssociationRejectedError) as caught:
        echo(peer_of(scp, calling="GREEDY"))
    assert caught.value.transient
    assert echo(peer_of(scp)).round_trip_s > 0
    held.release()
    wait_until(lambda: scp.open_associations == 0, "the end of the first association")
    assert echo(peer_of(scp, calling="GREEDY")).round_trip_s > 0
    assert scp.statistics.rejected_peer_limit == 1


def test_an_object_over_the_peers_limit_is_refused_and_the_association_lives(
    start_scp, spool, make_ct
):
    paths = [make_ct("1.2.3", "1.2.3.1") for _ in range(3)]
    size = paths[0].stat().st_size
    limits = {
        "SMALL": PeerLimits(object_bytes=1000),
        "MODALITY": PeerLimits(object_bytes=size),
    }
    scp = start_scp(
        peers=tuple(AllowedPeer(title, title, limits=limit) for title, limit in limits.items())
    )
    outcomes = store(peer_of(scp, calling="SMALL"), paths)
    assert [outcome.status for outcome in outcomes] == [0xA700] * 3
    assert "larger than the 1000 bytes" in outcomes[0].comment
    assert scp.statistics.refused_too_large == 3
    assert scp.statistics.aborted == 0
    assert spool.instances("1.2.3") == ()
    outcomes = store(peer_of(scp), paths)
    assert {outcome.category for outcome in outcomes} == {StoreCategory.SUCCESS}


def test_a_peer_over_its_rate_is_slowed_and_nothing_is_refused(start_scp, spool, make_ct):
    limits = PeerLimits(instances_per_s=2)
    scp = start_scp(peers=(AllowedPeer("fast", "MODALITY", limits=limits),))
    outcomes = store(peer_of(scp), [make_ct("1.2.3", "1.2.3.1") for _ in range(6)])
    assert {outcome.status for outcome in outcomes} == {0}
    assert scp.statistics.delayed > 0
    assert len(spool.instances("1.2.3")) == 6
