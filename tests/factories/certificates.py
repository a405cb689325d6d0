"""Certificates of a small hospital, made for one test run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme

from listener import TLSFiles


class Authority:
    """An issuer of certificates, and a folder that they are written to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._issuer = trustme.CA()
        self.trusted = folder / "issuers.pem"
        self._issuer.cert_pem.write_to_path(str(self.trusted))

    def issue(
        self,
        name: str,
        *hosts: str,
        expired: bool = False,
        trusting: Path | None = None,
        minimum_version: str = "1.2",
    ) -> TLSFiles:
        """Write a certificate for some hosts; an older one of that name is replaced."""
        ended = datetime.now(UTC) - timedelta(days=1) if expired else None
        issued = self._issuer.issue_cert(*hosts, not_after=ended)
        certificate, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(str(key))
        return TLSFiles(certificate, key, trusting or self.trusted, minimum_version)
