"""Maintenance role: periodic work for the whole node."""

from listener import Lifecycle
from mediclip_dicom.database import Sessions
from mediclip_dicom.settings import Settings
from mediclip_dicom.studies import Retention, open_spool


class MaintenanceRole(Lifecycle):
    """Retention of finished studies.

    Args:
        settings: the configuration.
        sessions: of the application's database.
    """

    def __init__(self, settings: Settings, sessions: Sessions) -> None:
        self._spool = open_spool(settings)
        self._retention = Retention(settings, sessions, self._spool)

    def start(self) -> None:
        """Start looking for studies that may be removed."""
        self._retention.start()

    def stop(self) -> None:
        """Stop looking; a removal that has begun is finished first."""
        self._retention.stop()
        self._spool.close()
