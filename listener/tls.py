"""TLS as BCP 195 and PS3.15 B.9 ask for: both sides named by certificates, nothing old."""

from __future__ import annotations

import ssl
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog

from listener.errors import TLSError

if TYPE_CHECKING:
    import socket
    from pathlib import Path

log = structlog.get_logger()

# PS3.15 B.9.1: ephemeral keys and authenticated encryption only. TLS 1.3 has nothing else.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20"

_VERIFICATION = {
    9: "the certificate is not valid yet",
    10: "the certificate has expired",
    18: "the certificate is self-signed and not among the trusted ones",
    19: "a self-signed certificate in its chain is not among the trusted ones",
    20: "the certificate was issued by someone who is not among the trusted ones",
    21: "the certificate was issued by someone who is not among the trusted ones",
    62: "the certificate is for another host name",
    64: "the certificate is for another address",
}
_REASONS = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "the peer showed no certificate",
    "WRONG_VERSION_NUMBER": "the peer speaks no TLS",
    "HTTP_REQUEST": "the peer speaks no TLS",
    "UNSUPPORTED_PROTOCOL": "the peer offers only versions of TLS that are too old",
    "NO_SHARED_CIPHER": "the peer offers only ciphers that are too weak",
    "TLSV1_ALERT_PROTOCOL_VERSION": "the peer takes only versions of TLS that are too old",
    "TLSV1_ALERT_UNKNOWN_CA": "the peer does not trust our certificate",
    "SSLV3_ALERT_BAD_CERTIFICATE": "the peer does not take our certificate",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "the peer says that our certificate has expired",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "the peer does not take our certificate",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "the peer asks for a certificate of ours",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "the peer and we have no TLS cipher in common",
    "UNEXPECTED_EOF_WHILE_READING": "the peer hung up during the handshake",
}


@dataclass(frozen=True, slots=True)
class TLSFiles:
    """Where our certificate, its key and the trusted issuers lie, PEM.

    Attributes:
        certificate: ours, with the chain up to its issuer.
        private_key: its key, not encrypted.
        trusted: certificates of the issuers that we take peers from.
        minimum_version: "1.2" or "1.3".
    """

    certificate: Path
    private_key: Path
    trusted: Path
    minimum_version: str = "1.2"

    def server_context(self) -> ssl.SSLContext:
        """Return a context that asks the client for a certificate.

        Raises:
            TLSError: a file is missing or is not what it should be.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.verify_mode = ssl.CERT_REQUIRED
        context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE | ssl.OP_NO_RENEGOTIATION
        return self._filled(context)

    def client_context(self) -> ssl.SSLContext:
        """Return a context that checks the server's certificate and host, and shows ours.

        Raises:
            TLSError: a file is missing or is not what it should be.
        """
        return self._filled(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))

    def _filled(self, context: ssl.SSLContext) -> ssl.SSLContext:
        context.minimum_version = (
            ssl.TLSVersion.TLSv1_3 if self.minimum_version == "1.3" else ssl.TLSVersion.TLSv1_2
        )
        context.options |= ssl.OP_NO_COMPRESSION
        context.set_ciphers(_CIPHERS)
        try:
            context.load_cert_chain(self.certificate, self.private_key)
        except (OSError, ssl.SSLError) as error:
            raise TLSError(
                f"certificate {self.certificate} with key {self.private_key} can't be used: "
                f"{_file_problem(error)}"
            ) from error
        try:
            context.load_verify_locations(self.trusted)
        except (OSError, ssl.SSLError) as error:
            raise TLSError(
                f"trusted certificates {self.trusted} can't be used: {_file_problem(error)}"
            ) from error
        return context

    def fingerprint(self) -> tuple[tuple[int, int, int] | None, ...]:
        """Return what changes when a file is replaced."""
        return tuple(_stamp(path) for path in (self.certificate, self.private_key, self.trusted))


class ServerTLS:
    """Shakes hands with clients, with the certificates that lie on disk at that moment.

    Files that can't be used are logged once, and those before them stay in use.

    Args:
        files: where the certificates are.
        handshake_timeout_s: seconds that a client has to shake hands.

    Raises:
        TLSError: the files can't be used.
    """

    def __init__(self, files: TLSFiles, *, handshake_timeout_s: float = 10.0) -> None:
        self._files = files
        self._timeout_s = handshake_timeout_s
        self._lock = threading.Lock()
        self._seen = files.fingerprint()
        self._context = files.server_context()

    def accept(self, connection: socket.socket) -> ssl.SSLSocket:
        """Shake hands; the connection is given to the result, or closed.

        Raises:
            TLSError: it failed, or took too long; the text says why in plain words.
        """
        connection.settimeout(self._timeout_s)
        try:
            return self._current().wrap_socket(connection, server_side=True)
        except OSError as error:
            connection.close()
            raise TLSError(plain(error)) from error

    def _current(self) -> ssl.SSLContext:
        with self._lock:
            fingerprint = self._files.fingerprint()
            if fingerprint != self._seen:
                self._seen = fingerprint
                try:
                    self._context = self._files.server_context()
                except TLSError as error:
                    log.error("tls.certificates_unusable", reason=str(error))
                else:
                    log.info("tls.certificates_reloaded")
            return self._context


class ClientHandshake:
    """A client context that remembers why a connection failed, which the library does not say."""

    def __init__(self, files: TLSFiles) -> None:
        self.failure: str | None = None
        self.context = files.client_context()
        self.context.sslsocket_class = _remembering(self)


def _remembering(handshake: ClientHandshake) -> type[ssl.SSLSocket]:
    class Socket(ssl.SSLSocket):
        def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002
            try:
                super().do_handshake(block)
            except OSError as error:
                handshake.failure = plain(error)
                raise

        def recv(self, *args: Any, **kwargs: Any) -> bytes:
            # By TLS 1.3 a server's "no" to our certificate comes after our side has finished.
            try:
                return super().recv(*args, **kwargs)
            except ssl.SSLError as error:
                handshake.failure = plain(error)
                raise

    return Socket


def certificate_names(connection: ssl.SSLSocket) -> frozenset[str]:
    """Return the host names and addresses that the peer's certificate is for."""
    certificate = connection.getpeercert() or {}
    alternatives: Any = certificate.get("subjectAltName", ())
    return frozenset(str(value) for kind, value in alternatives if kind in ("DNS", "IP Address"))


def plain(error: OSError) -> str:
    """Say in plain words why a handshake failed."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _VERIFICATION.get(error.verify_code, error.verify_message)
    if isinstance(error, TimeoutError):
        return "the peer did not shake hands in time"
    if isinstance(error, ssl.SSLError):
        return _REASONS.get(error.reason or "", error.reason or "the handshake failed")
    return "the peer hung up during the handshake"


def _file_problem(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or "it is no PEM file of the right kind"
    return error.strerror or str(error)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
