"""Completion of studies: the quiet period after the last instance, by sender."""

from listener import AssociationEnd, StudyActivity
from mediclip_dicom.settings import Settings


class Completion:
    """Quiet periods of the configuration, for all peers or for one."""

    def __init__(self, settings: Settings) -> None:
        self._default_s = settings.gathering.quiet_period_s
        self._after_association_s = settings.gathering.after_association_s
        self._by_title: dict[str, float] = {}
        for peer in settings.peers:
            # Two scanners may share a title; the more patient wait does for both.
            wait_s = peer.quiet_period_s or self._default_s
            self._by_title[peer.ae_title] = max(wait_s, self._by_title.get(peer.ae_title, 0.0))
        self._whole_studies = {peer.name for peer in settings.peers if peer.study_per_association}

    @property
    def shortest_s(self) -> float:
        """Shortest quiet period of all peers, in seconds."""
        return min([self._default_s, *self._by_title.values()])

    def wait_after_s(self, activity: StudyActivity) -> float:
        """Return the seconds that a study must be quiet after an instance from its sender."""
        return self._by_title.get(activity.calling_ae_title, self._default_s)

    def wait_after_end_s(self, end: AssociationEnd) -> float | None:
        """Return the seconds until an ended association completes its studies; None: never.

        An abort completes nothing: the sender will come again with the rest.
        """
        if end.released and end.peer in self._whole_studies:
            return self._after_association_s
        return None
