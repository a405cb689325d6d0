"""Maintenance role: periodic work for the whole node."""

from listener import Lifecycle
from mediclip_dicom.database import open_database
from mediclip_dicom.settings import Settings
from mediclip_dicom.studies import Retention, open_spool


class MaintenanceRole(Lifecycle):
    """Retention of finished studies.

    Args:
        settings: the configuration.

    Raises:
        DatabaseError: the database can't be used.
    """

    def __init__(self, settings: Settings) -> None:
        self._spool = open_spool(settings)
        self._retention = Retention(settings, open_database(settings.database_url), self._spool)

    def start(self) -> None:
        """Start looking for studies that may be removed."""
        self._retention.start()

    def stop(self) -> None:
        """Stop looking; a removal that has begun is finished first."""
        self._retention.stop()
        self._spool.close()
