"""C-FIND as an SCP, in the Study Root information model (PS3.4 C.6.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from listener.access import Permission
from listener.encoded_text import encoded_texts
from listener.errors import InvalidInstanceError
from listener.scp.matching import matches, values_of
from listener.uids import clean_uid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from pydicom.tag import BaseTag
    from pynetdicom import evt

    from listener.encoded_text import EncodedText
    from listener.scp.associations import AssociationRecord, Associations
    from listener.scu import Level
    from listener.statistics import Counts

log = structlog.get_logger()

_SUCCESS = 0x0000
_PENDING = 0xFF00
_CANCELLED = 0xFE00
_NOT_AUTHORISED = 0x0124
_IDENTIFIER_DOES_NOT_MATCH = 0xA900
_UNABLE_TO_PROCESS = 0xC000

_UNIQUE_KEYS: dict[Level, tuple[str, ...]] = {
    "STUDY": ("StudyInstanceUID",),
    "SERIES": ("StudyInstanceUID", "SeriesInstanceUID"),
    "IMAGE": ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"),
}


@dataclass(frozen=True, slots=True)
class FindQuery:
    """Query of a peer, for a first selection of instances.

    Attributes:
        level: of the matches.
        uids: values of the unique keys in the query by keyword; other values do not match.

    Example:
        >>> query = FindQuery("SERIES", {"StudyInstanceUID": frozenset({"1.2.3"})})
        >>> "1.2.3" in query.uids["StudyInstanceUID"]
        True
    """

    level: Level
    uids: dict[str, frozenset[str]]


class FindProvider:
    """SCP of C-FIND.

    Args:
        findable: returns the header of each instance that may match a query, with the AE titles
            that it can be retrieved from in Retrieve AE Title; None refuses queries.
        associations: that are open.
        counts: counters.
    """

    def __init__(
        self,
        findable: Callable[[FindQuery], Iterable[Dataset]] | None,
        *,
        associations: Associations,
        counts: Counts,
    ) -> None:
        self._findable = findable
        self._associations = associations
        self._counts = counts

    def handle(self, event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        """Yield each match as a pending response, then the final status if it is not success."""
        record = self._associations.get(event.assoc)
        if record is None or Permission.FIND not in record.peer.may or self._findable is None:
            yield _NOT_AUTHORISED, None
            return
        self._counts.add("queries")
        try:
            identifier = event.identifier
            query = _query(identifier)
        except InvalidInstanceError as error:
            log.warning("find.refused", association=record.id, reason=error.reason)
            yield _IDENTIFIER_DOES_NOT_MATCH, None
            return
        except Exception as error:  # noqa: BLE001  pynetdicom's parser gets any bytes
            log.warning("find.refused", association=record.id, reason=type(error).__name__)
            yield _IDENTIFIER_DOES_NOT_MATCH, None
            return
        yield from self._answers(event, query, identifier, record)

    def _answers(
        self, event: evt.Event, query: FindQuery, identifier: Dataset, record: AssociationRecord
    ) -> Iterator[tuple[int, Dataset | None]]:
        assert self._findable is not None
        try:
            # Before it is matched, which decodes it: text is answered as it is encoded.
            candidates = ((header, encoded_texts(header)) for header in self._findable(query))
            found = _by_unique_key(
                (
                    _Match(header, texts)
                    for header, texts in candidates
                    if matches(header, identifier)
                ),
                query.level,
            )
        except Exception:  # answered as a failure; the peer may repeat the query
            log.exception("find.failed", association=record.id)
            yield _UNABLE_TO_PROCESS, None
            return
        log.info(
            "find.answered",
            association=record.id,
            peer=record.peer.name,
            query_level=query.level,
            matches=len(found),
        )
        for group in found:
            if event.is_cancelled:
                yield _CANCELLED, None
                return
            yield _PENDING, _answer(group, identifier)


def _query(identifier: Dataset) -> FindQuery:
    asked = str(identifier.get("QueryRetrieveLevel", ""))
    level = next((level for level in _UNIQUE_KEYS if level == asked), None)
    if level is None:
        raise InvalidInstanceError("QueryRetrieveLevel is not STUDY, SERIES or IMAGE")
    uids: dict[str, frozenset[str]] = {}
    for keyword in _UNIQUE_KEYS["IMAGE"]:
        values = values_of(identifier, keyword)
        if values:
            uids[keyword] = frozenset(clean_uid(value, name=keyword) for value in values)
    for keyword in _UNIQUE_KEYS[level][:-1]:
        if len(uids.get(keyword, ())) != 1:
            raise InvalidInstanceError(f"a query at level {level} needs one {keyword}")
    return FindQuery(level, uids)


@dataclass(frozen=True, slots=True)
class _Match:
    """Header that matches a query, and its text as it is encoded."""

    header: Dataset
    texts: Mapping[BaseTag, EncodedText]


def _by_unique_key(matching: Iterable[_Match], level: Level) -> list[list[_Match]]:
    """Group matches into answers; two patients under one unique key get an answer each."""
    groups: dict[tuple[str | bytes, ...], list[_Match]] = {}
    for match in matching:
        unique = str(match.header.get(_UNIQUE_KEYS[level][-1], ""))
        groups.setdefault((unique, *_patient(match)), []).append(match)
    return list(groups.values())


def _patient(match: _Match) -> tuple[bytes, ...]:
    """Return the attributes that an answer would attribute to the wrong patient if mixed.

    As they are encoded: text that is not in its declared character set can't be decoded.
    """
    return tuple(
        (
            bytes(text.value)
            if (text := match.texts.get(Tag(keyword))) is not None
            else str(match.header.get(keyword) or "").encode()
        )
        .strip(b" ^")
        .lower()
        for keyword in ("PatientID", "IssuerOfPatientID", "PatientName")
    )


def _answer(group: list[_Match], identifier: Dataset) -> Dataset:
    """Return the requested attributes of a study, series or instance; unknown ones are empty."""
    first = group[0].header
    answer = Dataset()
    for key in identifier:
        if key.tag in group[0].texts:
            answer[key.tag] = group[0].texts[key.tag]
        elif key.tag in first and key.VR != "SQ":
            answer[key.tag] = first[key.tag]
        else:
            answer.add_new(key.tag, key.VR, None)
    if "SpecificCharacterSet" in first:
        answer.SpecificCharacterSet = first.SpecificCharacterSet
    elif "SpecificCharacterSet" in answer:
        del answer.SpecificCharacterSet
    answer.QueryRetrieveLevel = identifier.QueryRetrieveLevel
    everywhere = set.intersection(
        *(set(values_of(match.header, "RetrieveAETitle")) for match in group)
    )
    answer.RetrieveAETitle = sorted(everywhere)
    answer.InstanceAvailability = "ONLINE" if everywhere else "UNAVAILABLE"
    return answer
