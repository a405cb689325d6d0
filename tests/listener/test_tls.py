"""TLS: who is let in by certificate, who is not and what the log says, and nobody blocks others."""

from __future__ import annotations

import dataclasses
import socket
import ssl
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from listener.access import AllowedPeer
from listener.errors import AssociationRejectedError, PeerError, PeerTLSError, TLSError
from listener.scu import Peer, StoreCategory, echo, store
from listener.settings import TLSPort
from tests.conftest import WAIT_LIMIT_S, wait_until
from tests.factories.certificates import Authority

HERE = "127.0.0.1"
NAMED = AllowedPeer("ct1", "MODALITY", host=HERE, tls=True)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Somebody else who issues certificates."""
    return Authority(tmp_path_factory.mktemp("elsewhere"))


@pytest.fixture
def start_tls(authority, start_scp):
    def start(files=None, *, handshake_timeout_s: float = 60.0, **settings):
        files = files or authority.issue("node", HERE)
        port = TLSPort(files, 0, handshake_timeout_s)
        return start_scp(**({"peers": (NAMED,), "port": None, "tls": port} | settings))

    return start


def over_tls(scp, files) -> Peer:
    return Peer("NODE", HERE, scp.tls_port, calling_ae_title="MODALITY", tls=files)


def log_reason(capsys) -> str:
    said: list[str] = []

    def is_said() -> bool:
        said.append(capsys.readouterr().out)
        return "handshake.failed" in "".join(said)

    wait_until(is_said, "the reason in the log")
    return "".join(said)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_peer_with_its_certificate_stores_over_tls(version, start_tls, authority, spool, make_ct):
    scp = start_tls(authority.issue("node", HERE, minimum_version=version))
    outcomes = store(
        over_tls(scp, authority.issue("ct1", HERE)),
        [make_ct("1.2.3", "1.2.3.1") for _ in range(5)],
    )
    assert {outcome.category for outcome in outcomes} == {StoreCategory.SUCCESS}
    assert len(spool.instances("1.2.3")) == 5


def test_a_client_without_certificate_is_refused(start_tls, authority, capsys):
    scp = start_tls()
    context = ssl.create_default_context(cafile=authority.trusted)
    with (
        socket.create_connection((HERE, scp.tls_port)) as plain,
        suppress(OSError),
        context.wrap_socket(plain, server_hostname=HERE) as secured,
    ):
        assert not secured.recv(1)
    assert "the peer showed no certificate" in log_reason(capsys)
    assert scp.statistics.tls_failures == 1


def test_an_expired_client_certificate_is_refused_and_the_log_says_so(start_tls, authority, capsys):
    scp = start_tls()
    with pytest.raises(PeerError):
        echo(over_tls(scp, authority.issue("old", HERE, expired=True)))
    assert "the certificate has expired" in log_reason(capsys)


def test_a_client_certificate_of_another_issuer_is_refused(start_tls, authority, stranger, capsys):
    scp = start_tls()
    with pytest.raises(PeerError):
        echo(over_tls(scp, stranger.issue("intruder", HERE, trusting=authority.trusted)))
    assert "the issuer of the certificate is not among the trusted ones" in log_reason(capsys)


def test_a_client_certificate_for_another_host_is_not_recognised(start_tls, authority):
    scp = start_tls()
    with pytest.raises(AssociationRejectedError, match="Calling AE title not recognised"):
        echo(over_tls(scp, authority.issue("moved", "192.0.2.9")))
    assert scp.statistics.rejected_certificate_host == 1


def test_a_peer_that_must_use_tls_is_not_recognised_without(start_tls, authority):
    scp = start_tls(port=0)
    with pytest.raises(AssociationRejectedError, match="Calling AE title not recognised"):
        echo(Peer("NODE", HERE, scp.port, calling_ae_title="MODALITY"))
    assert echo(over_tls(scp, authority.issue("ct1", HERE))).round_trip_s > 0
    assert scp.statistics.rejected_tls_needed == 1


@pytest.mark.parametrize(
    ("hosts", "expired", "told"),
    [
        ((HERE,), True, "the certificate has expired"),
        (("192.0.2.9",), False, "the certificate is for another address"),
    ],
)
def test_we_refuse_a_server_whose_certificate_is_wrong(hosts, expired, told, start_tls, authority):
    scp = start_tls(authority.issue("wrong", *hosts, expired=expired))
    with pytest.raises(PeerTLSError, match=told):
        echo(over_tls(scp, authority.issue("ct1", HERE)))


def test_we_refuse_a_server_whose_issuer_we_do_not_trust(start_tls, authority, stranger):
    scp = start_tls()
    files = dataclasses.replace(authority.issue("ct1", HERE), trusted=stranger.trusted)
    with pytest.raises(PeerTLSError, match="not among the trusted ones"):
        echo(over_tls(scp, files))


def test_we_say_so_where_a_peer_speaks_no_tls(start_scp, authority):
    scp = start_scp()
    peer = Peer("NODE", HERE, scp.port, tls=authority.issue("ct1", HERE), connect_timeout_s=60)
    with pytest.raises(PeerTLSError):
        echo(peer)


def test_tls_1_1_is_refused(start_tls, authority, capsys):
    scp = start_tls()
    files = authority.issue("ct1", HERE)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(files.trusted)
    context.load_cert_chain(files.certificate, files.private_key)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection((HERE, scp.tls_port)) as plain, pytest.raises(OSError):  # noqa: PT011
        context.wrap_socket(plain, server_hostname=HERE)
    assert "only versions of TLS that are too old" in log_reason(capsys)


def test_clients_that_never_shake_hands_block_nobody_and_are_dropped(start_tls, authority):
    scp = start_tls(handshake_timeout_s=5.0)
    before = threading.active_count()
    silent = [socket.create_connection((HERE, scp.tls_port)) for _ in range(20)]
    try:
        assert echo(over_tls(scp, authority.issue("ct1", HERE))).round_trip_s > 0
        for connection in silent:
            connection.settimeout(WAIT_LIMIT_S)
            assert connection.recv(1) == b""
    finally:
        for connection in silent:
            connection.close()
    wait_until(lambda: threading.active_count() <= before, "threads to end")
    assert scp.statistics.tls_failures == 20


def test_new_certificates_are_used_without_a_restart_and_broken_ones_are_not(
    start_tls, authority, capsys
):
    files = authority.issue("renewed", HERE, expired=True)
    scp = start_tls(files)
    peer = over_tls(scp, authority.issue("ct1", HERE))
    with pytest.raises(PeerTLSError, match="expired"):
        echo(peer)
    authority.issue("renewed", HERE)
    assert echo(peer).round_trip_s > 0
    files.certificate.write_text("half a file")
    assert echo(peer).round_trip_s > 0
    said = capsys.readouterr().out
    assert "certificates.reloaded" in said
    assert "certificates.unusable" in said


def test_files_that_are_not_there_are_named_at_start(start_tls, authority):
    files = dataclasses.replace(authority.issue("node", HERE), private_key=Path("none.key"))
    with pytest.raises(TLSError, match=r"none\.key"):
        start_tls(files)


def test_dcmtk_stores_over_tls(start_tls, authority, spool, make_ct):
    import os
    import subprocess

    from tests.listener.conftest import dcmtk

    scp = start_tls()
    files = authority.issue("ct1", HERE)
    command = [dcmtk("storescu"), "+tls", str(files.private_key), str(files.certificate)]
    command += ["+cf", str(files.trusted), "-aet", "MODALITY", "-aec", "NODE"]
    found = subprocess.run(
        [*command, HERE, str(scp.tls_port), str(make_ct("1.2.3", "1.2.3.1"))],
        env=os.environ | {"TCP_NODELAY": "1"},
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert found.returncode == 0, found.stderr
    assert len(spool.instances("1.2.3")) == 1
