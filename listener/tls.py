"""TLS of BCP 195 and PS3.15 B.9: certificates on both sides, no old versions or ciphers."""

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
    20: "the issuer of the certificate is not among the trusted ones",
    21: "the issuer of the certificate is not among the trusted ones",
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
    """PEM files of our certificate, its key and the trusted issuers.

    Attributes:
        certificate: our certificate, with the chain up to its issuer.
        private_key: its key, not encrypted.
        trusted: certificates of the issuers whose peers are accepted.
        minimum_version: "1.2" or "1.3".

    Example:
        >>> pki = Path("/etc/mediclip/pki")
        >>> files = TLSFiles(pki / "node.pem", pki / "node.key", pki / "issuers.pem")
        >>> files.server_context()
        Traceback (most recent call last):
        listener.errors.TLSError: certificate /etc/mediclip/pki/node.pem with key ...
    """

    certificate: Path
    private_key: Path
    trusted: Path
    minimum_version: str = "1.2"

    def server_context(self) -> ssl.SSLContext:
        """Return a context that asks the client for a certificate.

        Raises:
            TLSError: a file is missing or of the wrong kind.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.verify_mode = ssl.CERT_REQUIRED
        context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE | ssl.OP_NO_RENEGOTIATION
        return self._filled(context)

    def client_context(self) -> ssl.SSLContext:
        """Return a context that checks the server's certificate and host, and presents ours.

        Raises:
            TLSError: a file is missing or of the wrong kind.
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
        """Return inode, time and size of each file; they change when a file is replaced."""
        return tuple(_stamp(path) for path in (self.certificate, self.private_key, self.trusted))


class ServerTLS:
    """Server side of TLS; new certificate files are used without a restart.

    Files that can't be used are logged once, and the previous certificates stay in use.

    Args:
        files: PEM files.
        handshake_timeout_s: limit of one handshake in seconds.

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
        """Do the handshake; on failure the connection is closed.

        Raises:
            TLSError: it failed, or took too long; the text says why.
        """
        connection.settimeout(self._timeout_s)
        try:
            return self._current().wrap_socket(connection, server_side=True)
        except OSError as error:
            connection.close()
            raise TLSError(describe_tls_error(error)) from error

    def _current(self) -> ssl.SSLContext:
        with self._lock:
            fingerprint = self._files.fingerprint()
            if fingerprint != self._seen:
                self._seen = fingerprint
                try:
                    self._context = self._files.server_context()
                except TLSError as error:
                    log.error("certificates.unusable", reason=str(error))
                else:
                    log.info("certificates.reloaded")
            return self._context


class ClientHandshake:
    """Client context that keeps the reason of a failed handshake, which pynetdicom drops.

    Attributes:
        failure: reason of the failure; None if there was none.
        context: for one association.
    """

    def __init__(self, files: TLSFiles) -> None:
        self.failure: str | None = None
        self.context = files.client_context()
        self.context.sslsocket_class = _socket_class(self)


def _socket_class(handshake: ClientHandshake) -> type[ssl.SSLSocket]:
    class Socket(ssl.SSLSocket):
        def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002
            try:
                super().do_handshake(block)
            except OSError as error:
                handshake.failure = describe_tls_error(error)
                raise

        def recv(self, *args: Any, **kwargs: Any) -> bytes:
            # In TLS 1.3 the alert about our certificate arrives after our handshake, in recv().
            try:
                return super().recv(*args, **kwargs)
            except ssl.SSLError as error:
                handshake.failure = describe_tls_error(error)
                raise

    return Socket


def certificate_names(connection: ssl.SSLSocket) -> frozenset[str]:
    """Return the host names and addresses in the peer's certificate."""
    certificate = connection.getpeercert() or {}
    alternatives: Any = certificate.get("subjectAltName", ())
    return frozenset(str(value) for kind, value in alternatives if kind in ("DNS", "IP Address"))


def describe_tls_error(error: OSError) -> str:
    """Return a text for an administrator why a handshake failed."""
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
