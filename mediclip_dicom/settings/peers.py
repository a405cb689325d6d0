"""Peer sections of the configuration: callers, destinations, TLS."""

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from mediclip_dicom.settings.result_kinds import PROFILES, ResultKind

AETitle = Annotated[
    str,
    Field(
        min_length=1,
        max_length=16,
        # PS3.5 6.2, VR AE: default repertoire without backslash and control characters.
        pattern=r"^[\x20-\x5b\x5d-\x7e]*[\x21-\x5b\x5d-\x7e][\x20-\x5b\x5d-\x7e]*$",
    ),
]
Port = Annotated[int, Field(ge=1, le=65535)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$")]
PeerRight = Literal["store", "find", "commitment"]
_HOST_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?")


class Section(BaseModel):
    """Section of the configuration; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TLSSettings(Section):
    """TLS of associations in both directions."""

    certificate: Path | None = None
    private_key: Path | None = None
    trusted: Path | None = None
    port: Annotated[int, Field(ge=0, le=65535)] = 2762
    only: bool = False
    minimum_version: Literal["1.2", "1.3"] = "1.2"
    handshake_timeout_s: Annotated[float, Field(gt=0)] = 10.0

    @property
    def is_on(self) -> bool:
        """Whether a certificate is configured."""
        return self.certificate is not None

    @model_validator(mode="after")
    def _all_or_none(self) -> "TLSSettings":
        files = (self.certificate, self.private_key, self.trusted)
        if any(files) and not all(files):
            raise ValueError("name certificate, private_key and trusted together")
        if self.only and not self.is_on:
            raise ValueError("only = true needs certificate, private_key and trusted")
        return self


class PeerSettings(Section):
    """Peer that may call the node."""

    name: Name
    ae_title: AETitle
    host: str = ""
    port: Port | None = None
    tls: bool = False
    may: tuple[PeerRight, ...] = ("store",)
    max_associations: Annotated[int, Field(ge=1)] = 25
    max_instances_per_s: Annotated[float, Field(ge=0)] = 0.0
    max_object_mb: Annotated[int, Field(ge=1)] = 2048
    quiet_period_s: Annotated[float, Field(gt=0)] | None = None
    study_per_association: bool = False

    @field_validator("host")
    @classmethod
    def _address_network_or_name(cls, host: str) -> str:
        try:
            ipaddress.ip_network(host, strict=False)
        except ValueError:
            if host and _HOST_NAME.fullmatch(host) is None:
                raise ValueError(
                    "expected an address, a network as 192.0.2.0/24 or a name"
                ) from None
        return host

    @property
    def is_network(self) -> bool:
        """Whether the host names more than one machine."""
        return "/" in self.host or not self.host


class DestinationSettings(Section):
    """Peer that gets results."""

    name: Name
    ae_title: AETitle
    host: str
    port: Port
    results: tuple[ResultKind, ...] = PROFILES["viewer"]
    tls: bool = False
    commitment: bool = False

    @field_validator("results", mode="before")
    @classmethod
    def _profile(cls, results: object) -> object:
        if not isinstance(results, str):
            return results
        if results not in PROFILES:
            raise ValueError(
                f"name a profile ({', '.join(PROFILES)}) or list kinds "
                f"({', '.join(get_args(ResultKind))})"
            )
        return PROFILES[results]

    @field_validator("results")
    @classmethod
    def _at_least_one(cls, kinds: tuple[ResultKind, ...]) -> tuple[ResultKind, ...]:
        if not kinds:
            raise ValueError("name at least one kind of result")
        return kinds
