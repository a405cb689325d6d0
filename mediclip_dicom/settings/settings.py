"""Settings of the node, validated and frozen."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from mediclip_dicom.errors import ConfigError
from mediclip_dicom.settings.peers import (
    AETitle,
    DestinationSettings,
    PeerSettings,
    Section,
    TLSSettings,
)
from mediclip_dicom.settings.result_kinds import ALWAYS, ResultKind

ENVIRONMENT_PREFIX = "MEDICLIP_"
ENVIRONMENT_SEPARATOR = "__"


class NodeSettings(Section):
    """Application Entity that receives studies."""

    ae_title: AETitle = "MEDICLIP"
    host: str = "0.0.0.0"
    port: Annotated[int, Field(ge=0, le=65535)] = 11112
    open: bool = False
    max_associations: Annotated[int, Field(ge=1)] = 100
    processes: Annotated[int, Field(ge=1, le=64)] = 1
    network_timeout_s: Annotated[float, Field(gt=0)] = 60.0


class StorageSettings(Section):
    """Folders of studies, results and SQLite files."""

    root: Path = Path("data")
    min_free_mb: Annotated[int, Field(ge=0)] = 2048
    min_free_percent: Annotated[float, Field(ge=0, lt=100)] = 0.0

    @property
    def spool(self) -> Path:
        """Durable inbox."""
        return self.root / "spool"

    @property
    def results(self) -> Path:
        """SEG and SR files, a folder per study run."""
        return self.root / "results"

    @property
    def runs(self) -> Path:
        """Anomaly maps of study runs."""
        return self.root / "runs"


class RetentionSettings(Section):
    """Retention of studies that are finished and delivered."""

    keep_days: Annotated[float, Field(ge=0)] = 0.0
    keep_gb: Annotated[float, Field(ge=0)] = 0.0
    quarantine_days: Annotated[float, Field(ge=0)] = 30.0
    check_every_s: Annotated[float, Field(gt=0)] = 600.0


class DatabaseSettings(Section):
    """SQLAlchemy URLs; empty means an SQLite file under `storage.root`."""

    url: str = ""
    workflow_url: str = ""

    @field_validator("url", "workflow_url")
    @classmethod
    def _known_dialect(cls, url: str) -> str:
        if url and not url.startswith(("sqlite:", "postgresql")):
            raise ValueError("expected a URL that starts with sqlite: or postgresql:")
        return url


PrecisionName = Literal["auto", "fp32", "bf16", "int8"]


class BackboneSettings(Section):
    """Frozen open_clip model below every task."""

    model: str = "ViT-L-14"
    weights: str = "openai"
    tag: str = ""
    blocks: tuple[Annotated[int, Field(ge=1)], ...] | None = None
    cache_dir: Path | None = None
    device: str = "auto"
    precision: PrecisionName = "auto"


class GatheringSettings(Section):
    """Completion of a study."""

    quiet_period_s: Annotated[float, Field(gt=0)] = 30.0
    longest_wait_s: Annotated[float, Field(gt=0)] = 1800.0
    after_association_s: Annotated[float, Field(gt=0)] = 1.0
    same_uid: Literal["replace", "keep-first"] = "replace"

    @model_validator(mode="after")
    def _wait_covers_the_quiet_period(self) -> "GatheringSettings":
        if self.longest_wait_s < self.quiet_period_s:
            raise ValueError("longest_wait_s must not be shorter than quiet_period_s")
        return self


class AnalysisSettings(Section):
    """Scoring of studies."""

    concurrent_studies: Annotated[int, Field(ge=1)] = 1
    batch_size: Annotated[int, Field(ge=0)] = 0


Crop = Literal["none", "body"]


class TaskDefaults(Section):
    """Defaults of `task register`."""

    preset: str = "default"
    false_positive_rate: Annotated[float, Field(gt=0, lt=1)] = 0.1
    folds: Annotated[int, Field(ge=2)] = 3
    images_per_study: Annotated[int, Field(ge=1)] = 12
    crop: Crop = "none"
    tiles: Annotated[int, Field(ge=1, le=4)] = 1
    exclude_series: tuple[str, ...] = ()
    seed: int = 0


class DeliverySettings(Section):
    """Retries and concurrency of deliveries."""

    first_retry_s: Annotated[float, Field(gt=0)] = 5.0
    backoff: Annotated[float, Field(ge=1)] = 2.0
    max_attempts: Annotated[int, Field(ge=1)] = 200
    concurrent_studies: Annotated[int, Field(ge=1)] = 2
    connect_timeout_s: Annotated[float, Field(gt=0)] = 15.0


class DeviceSettings(Section):
    """Device name of the node in its results (PS3.3 C.7.5.1, TID 1004)."""

    name: str = "MEDICLIP"
    manufacturer: str = "mediclip-dicom"
    model: str = "MediCLIP DICOM node"
    serial_number: str = "0"


class MonitoringSettings(Section):
    """HTTP port for a monitor."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 0


class LoggingSettings(Section):
    """Level and format of the log."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    format: Literal["text", "json"] = "text"


class Settings(BaseSettings):
    """Settings of the node; `config.toml` documents each field."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        env_prefix=ENVIRONMENT_PREFIX,
        env_nested_delimiter=ENVIRONMENT_SEPARATOR,
    )

    node: NodeSettings = NodeSettings()
    storage: StorageSettings = StorageSettings()
    retention: RetentionSettings = RetentionSettings()
    database: DatabaseSettings = DatabaseSettings()
    backbone: BackboneSettings = BackboneSettings()
    gathering: GatheringSettings = GatheringSettings()
    analysis: AnalysisSettings = AnalysisSettings()
    tasks: TaskDefaults = TaskDefaults()
    delivery: DeliverySettings = DeliverySettings()
    peers: tuple[PeerSettings, ...] = ()
    destinations: tuple[DestinationSettings, ...] = ()
    tls: TLSSettings = TLSSettings()
    device: DeviceSettings = DeviceSettings()
    logging: LoggingSettings = LoggingSettings()
    monitoring: MonitoringSettings = MonitoringSettings()

    @classmethod
    def settings_customise_sources(  # noqa: D102 (the library's hook)
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return env_settings, init_settings

    @field_validator("peers", "destinations")
    @classmethod
    def _unique_names(cls, blocks: tuple[Any, ...], info: ValidationInfo) -> tuple[Any, ...]:
        names = [block.name for block in blocks]
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two {info.field_name} are named {', '.join(repeated)}")
        return blocks

    @model_validator(mode="after")
    def _tls_where_it_is_asked_for(self) -> "Settings":
        asking = [peer.name for peer in self.peers if peer.tls]
        asking += [destination.name for destination in self.destinations if destination.tls]
        if asking and not self.tls.is_on:
            raise ValueError(f"tls = true of {', '.join(asking)} needs certificates in [tls]")
        return self

    @property
    def database_url(self) -> str:
        """SQLAlchemy URL of the application's tables."""
        return self.database.url or f"sqlite:///{self.storage.root.resolve() / 'node.sqlite'}"

    @property
    def workflow_database_url(self) -> str:
        """SQLAlchemy URL of the workflow engine's system database."""
        return (
            self.database.workflow_url
            or f"sqlite:///{self.storage.root.resolve() / 'workflows.sqlite'}"
        )

    @property
    def result_kinds(self) -> frozenset[ResultKind]:
        """Kinds that a run writes: those of any destination, and those always written."""
        wanted = (kind for destination in self.destinations for kind in destination.results)
        return ALWAYS.union(wanted)

    @property
    def confirming(self) -> tuple[DestinationSettings, ...]:
        """Destinations whose deliveries are done only when they are confirmed."""
        return tuple(d for d in self.destinations if d.commitment)

    def destination(self, name: str) -> DestinationSettings:
        """Return the destination of that name.

        Raises:
            ConfigError: there is none; the message lists those that are.
        """
        for destination in self.destinations:
            if destination.name == name:
                return destination
        known = ", ".join(d.name for d in self.destinations) or "none is configured"
        raise ConfigError(f"there is no destination {name!r} (known: {known})")
