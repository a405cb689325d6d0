"""Configuration: `config.toml` and the environment as one frozen `Settings`."""

from mediclip_dicom.settings.load import load_settings
from mediclip_dicom.settings.peers import DestinationSettings, PeerSettings, TLSSettings
from mediclip_dicom.settings.result_kinds import ALWAYS, PROFILES, ResultKind
from mediclip_dicom.settings.settings import (
    AnalysisSettings,
    BackboneSettings,
    Crop,
    DatabaseSettings,
    DeliverySettings,
    DeviceSettings,
    GatheringSettings,
    LoggingSettings,
    MonitoringSettings,
    NodeSettings,
    PrecisionName,
    RetentionSettings,
    Settings,
    StorageSettings,
    TaskDefaults,
)

__all__ = [
    "ALWAYS",
    "PROFILES",
    "AnalysisSettings",
    "BackboneSettings",
    "Crop",
    "DatabaseSettings",
    "DeliverySettings",
    "DestinationSettings",
    "DeviceSettings",
    "GatheringSettings",
    "LoggingSettings",
    "MonitoringSettings",
    "NodeSettings",
    "PeerSettings",
    "PrecisionName",
    "ResultKind",
    "RetentionSettings",
    "Settings",
    "StorageSettings",
    "TLSSettings",
    "TaskDefaults",
    "load_settings",
]
