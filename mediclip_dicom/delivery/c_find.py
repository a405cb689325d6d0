"""C-FIND over the result objects of study runs, with the destinations that hold them."""

from collections.abc import Iterator

from pydicom import dcmread
from pydicom.dataset import Dataset
from sqlalchemy import select
from sqlalchemy.orm import selectinload, sessionmaker

from listener import FindQuery
from mediclip_dicom.database import DeliveryState, ResultFile, Run, Study, StudyRevision, connect
from mediclip_dicom.settings import Settings

_THERE = (DeliveryState.DELIVERED, DeliveryState.CONFIRMED)


class FindableResults:
    """Headers of result objects, each with the AE titles of the destinations that hold it.

    It may be sent to another process, where it opens the database anew.

    Args:
        settings: of a node whose database has been opened before.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._results = settings.storage.results
        self._titles = {d.name: d.ae_title for d in settings.destinations}
        self._sessions = sessionmaker(connect(settings.database_url))

    def __reduce__(self) -> tuple[type["FindableResults"], tuple[Settings]]:
        return FindableResults, (self._settings,)

    def __call__(self, query: FindQuery) -> Iterator[Dataset]:
        """Yield the results that have the UIDs of a query, without those whose file is gone."""
        wanted = select(ResultFile).options(selectinload(ResultFile.deliveries))
        wanted = wanted.join(ResultFile.run).join(Run.revision).join(StudyRevision.study)
        columns = {
            "StudyInstanceUID": Study.study_instance_uid,
            "SeriesInstanceUID": ResultFile.series_instance_uid,
            "SOPInstanceUID": ResultFile.sop_instance_uid,
        }
        for keyword, uids in query.uids.items():
            wanted = wanted.where(columns[keyword].in_(uids))
        with self._sessions() as session:
            for result in session.scalars(wanted.order_by(Run.created_at)):
                try:
                    header = dcmread(self._results / result.path, stop_before_pixels=True)
                except FileNotFoundError:
                    continue
                header.RetrieveAETitle = sorted(
                    self._titles[delivery.destination]
                    for delivery in result.deliveries
                    if delivery.state in _THERE and delivery.destination in self._titles
                )
                yield header
