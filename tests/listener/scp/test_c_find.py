"""C-FIND: who may find gets what fits, and nobody else gets anything."""

from __future__ import annotations

import re
import subprocess

import pydicom
import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, evt

from listener.access import AllowedPeer, Permission
from listener.encoded_text import EncodedText
from listener.errors import NoPresentationContextError, QueryFailedError
from listener.scp import FindQuery
from listener.scp.matching import matches
from listener.scu import SOPReference, echo, find, request_commitment, store
from tests.listener.conftest import CT, dcmtk, peer_of

FIND = "1.2.840.10008.5.1.4.1.2.2.1"
MAY_FIND = (AllowedPeer("ward", "MODALITY", may=frozenset({Permission.FIND})),)


def header(study: str, series: str, sop: str, **attributes: object) -> Dataset:
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientName = "Yamada^Tarou=山田^太郎"
    dataset.StudyDate = "20261125"
    dataset.StudyTime = "101500"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, series
    dataset.SOPInstanceUID, dataset.SOPClassUID = sop, CT
    dataset.Modality = "SR"
    dataset.SeriesNumber = 9702
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


RESULTS = [
    header("1.2.3", "1.2.3.1", "1.2.3.1.1", RetrieveAETitle=["PACS", "VNA"]),
    header("1.2.3", "1.2.3.2", "1.2.3.2.1", Modality="SEG", RetrieveAETitle="PACS"),
    header("1.2.3", "1.2.3.2", "1.2.3.2.2", Modality="SEG", RetrieveAETitle=[]),
    header("1.2.4", "1.2.4.1", "1.2.4.1.1", StudyDate="20250101", RetrieveAETitle="PACS"),
]


@pytest.mark.parametrize(
    ("keys", "fits"),
    [
        ({}, True),
        ({"PatientName": ""}, True),
        ({"PatientName": "yamada*"}, True),
        ({"PatientName": "Yamad?^*"}, True),
        ({"PatientName": "Yamada"}, False),
        ({"PatientID": "*"}, False),
        ({"StudyDate": "20261125"}, True),
        ({"StudyDate": "20261101-20261130"}, True),
        ({"StudyDate": "20261126-"}, False),
        ({"StudyDate": "-20261125"}, True),
        ({"StudyTime": "10-1015"}, True),
        ({"StudyTime": "101501-"}, False),
        ({"StudyInstanceUID": ["1.2.9", "1.2.3"]}, True),
        ({"StudyInstanceUID": "1.2"}, False),
        ({"SeriesNumber": "+09702"}, True),
        ({"SeriesNumber": "1"}, False),
        ({"Modality": "[S]R"}, False),
        ({"Modality": "sr"}, False),
        ({"RequestAttributesSequence": [Dataset()]}, True),
    ],
)
def test_keys_match_as_the_standard_says(keys, fits):
    identifier = Dataset()
    for keyword, value in keys.items():
        setattr(identifier, keyword, value)
    assert matches(RESULTS[0], identifier) is fits


def test_a_peer_that_may_finds_studies_series_and_instances(start_scp):
    asked: list[FindQuery] = []

    def findable(query: FindQuery):
        asked.append(query)
        return RESULTS

    scp = start_scp(peers=MAY_FIND, findable=findable)
    peer = peer_of(scp)
    keys = ("StudyInstanceUID", "PatientName", "AccessionNumber")
    (study,) = find(peer, "STUDY", {"StudyDate": "2026-"}, return_keys=keys)
    assert study.StudyInstanceUID == "1.2.3"
    assert study.PatientName == "Yamada^Tarou=山田^太郎"
    assert study.AccessionNumber == ""
    assert "Modality" not in study
    series = find(peer, "SERIES", {"StudyInstanceUID": "1.2.3"})
    assert [(s.Modality, s.SeriesNumber) for s in series] == [("SR", 9702), ("SEG", 9702)]
    parents = {"StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.3.2"}
    images = find(peer, "IMAGE", parents)
    assert [image.SOPInstanceUID for image in images] == ["1.2.3.2.1", "1.2.3.2.2"]
    assert [query.level for query in asked] == ["STUDY", "SERIES", "IMAGE"]
    assert asked[2].uids == {name: frozenset({value}) for name, value in parents.items()}
    assert scp.statistics.queries == 3


@pytest.mark.parametrize(
    ("declared", "name"),
    [
        ("ISO_IR 192", b"M\xfcller^J"),
        (None, b"M\xfcller^J"),
        ("ISO_IR 100", b"DOE^JOHN\\SMITH^J"),
        ("UNKNOWN", b"\xff\xfe\x80"),
        ("GBK", "\u4e57^x".encode("gbk")),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_text_is_answered_byte_for_byte_as_the_object_has_it(declared, name, start_scp, tmp_path):
    """Matching decodes the name; what the peer gets must be what its own images have."""
    made = header("1.2.3", "1.2.3.1", "1.2.3.1.1", SpecificCharacterSet=declared)
    made.PatientName = None
    made.add(EncodedText(0x00100010, "PN", name))
    made.save_as(tmp_path / "x", implicit_vr=False, little_endian=True)
    scp = start_scp(
        peers=MAY_FIND, findable=lambda _: [pydicom.dcmread(tmp_path / "x", force=True)]
    )
    caller = AE("MODALITY")
    caller.add_requested_context(FIND)
    identifier = Dataset()
    identifier.QueryRetrieveLevel, identifier.PatientName = "STUDY", "*"
    identifier.StudyInstanceUID = ""
    answered: list[bytes] = []
    association = caller.associate(
        "127.0.0.1",
        scp.port,
        ae_title="NODE",
        evt_handlers=[(evt.EVT_DIMSE_RECV, lambda event: answered.append(_data_set(event)))],
    )
    answers = list(association.send_c_find(identifier, FIND))
    association.release()
    assert len(answers) == 2
    assert name in answered[0]
    assert b"\xef\xbf\xbd" not in answered[0]
    found = answers[0][1]
    assert found is not None
    assert (found.get("SpecificCharacterSet") or None) == declared


def _data_set(event: evt.Event) -> bytes:
    data_set = event.message.data_set
    return b"" if data_set is None else bytes(data_set.getvalue())


def test_an_answer_says_where_all_of_it_can_be_had(start_scp):
    scp = start_scp(peers=MAY_FIND, findable=lambda _: RESULTS)
    report, segmentations = find(peer_of(scp), "SERIES", {"StudyInstanceUID": "1.2.3"})
    assert (list(report.RetrieveAETitle), report.InstanceAvailability) == (
        ["PACS", "VNA"],
        "ONLINE",
    )
    assert not segmentations.RetrieveAETitle
    assert segmentations.InstanceAvailability == "UNAVAILABLE"


@pytest.mark.parametrize(
    ("level", "keys"),
    [
        ("PATIENT", {"StudyInstanceUID": "1.2.3"}),
        ("SERIES", {}),
        ("IMAGE", {"StudyInstanceUID": "1.2.3"}),
        ("IMAGE", {"StudyInstanceUID": ["1.2.3", "1.2.4"], "SeriesInstanceUID": "1.2.3.1"}),
        ("STUDY", {"StudyInstanceUID": "../../x"}),
    ],
)
def test_a_query_of_no_level_or_without_the_keys_above_is_refused(level, keys, start_scp):
    scp = start_scp(peers=MAY_FIND, findable=lambda _: RESULTS)
    with pytest.raises(QueryFailedError, match="A900"):
        find(peer_of(scp), level, keys, return_keys=["StudyInstanceUID"])
    assert echo(peer_of(scp)).round_trip_s > 0


def test_a_search_that_fails_is_told_and_the_association_lives(start_scp):
    def fail(_query):
        raise RuntimeError("the database is away")

    scp = start_scp(peers=MAY_FIND, findable=fail)
    sender = AE("MODALITY")
    sender.add_requested_context(FIND)
    association = sender.associate("127.0.0.1", scp.port, ae_title="NODE")
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "STUDY"
    identifier.StudyInstanceUID = ""
    for _ in range(2):
        ((status, _),) = association.send_c_find(identifier, FIND)
        assert status.Status == 0xC000
    association.release()


def test_the_log_of_a_query_holds_no_key(start_scp, capsys):
    scp = start_scp(peers=MAY_FIND, findable=lambda _: RESULTS)
    find(peer_of(scp), "STUDY", {"PatientName": "Yamada*"}, return_keys=["StudyInstanceUID"])
    log = capsys.readouterr().out
    assert "find.answered" in log
    assert "Yamada" not in log


@pytest.mark.parametrize("may", [frozenset({p}) for p in Permission] + [frozenset()])
def test_each_thing_that_a_peer_may_do_is_refused_to_one_that_may_not(may, start_scp, make_ct):
    """Refused at negotiation: the permission of one peer is none of another's."""
    everything = AllowedPeer("all", "OTHER", may=frozenset(Permission))
    scp = start_scp(
        peers=(AllowedPeer("one", "MODALITY", may=may), everything), findable=lambda _: RESULTS
    )
    peer = peer_of(scp)
    assert echo(peer).round_trip_s > 0
    attempts = {
        Permission.STORE: lambda: store(peer, [make_ct("1.2.3", "1.2.3.1")]),
        Permission.FIND: lambda: find(peer, "STUDY", {"StudyInstanceUID": "1.2.3"}),
        Permission.COMMITMENT: lambda: request_commitment(
            peer, [SOPReference(CT, "1.2.3")], transaction_uid="1.2.3.4"
        ),
    }
    # One context serves who asks and who reports; the message itself is refused then.
    same_context = {Permission.COMMITMENT, Permission.REPORT}
    for permission, attempt in attempts.items():
        if permission in may or (permission in same_context and may & same_context):
            continue
        with pytest.raises(NoPresentationContextError):
            attempt()


def test_dcmtk_findscu_gets_the_answers(start_scp):
    scp = start_scp(peers=MAY_FIND, findable=lambda _: RESULTS)
    found = subprocess.run(
        [
            *(dcmtk("findscu"), "-S", "-aet", "MODALITY", "-aec", "NODE"),
            *("-k", "QueryRetrieveLevel=SERIES", "-k", "StudyInstanceUID=1.2.3", "-k", "Modality"),
            *("127.0.0.1", str(scp.port)),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    modalities = re.findall(r"CS \[(\w+) ?\].* Modality", found.stdout + found.stderr)
    assert modalities == ["SR", "SEG"]


def test_two_patients_under_one_study_uid_get_an_answer_each(start_scp):
    results = [
        header("1.2.3", "1.2.3.1", "1.2.3.1.1", PatientID="A", RetrieveAETitle="PACS"),
        header("1.2.3", "1.2.3.2", "1.2.3.2.1", PatientID="A", RetrieveAETitle="PACS"),
        header("1.2.3", "1.2.3.1", "1.2.3.1.2", PatientID="B", PatientName="Bravo^Bob"),
    ]
    scp = start_scp(peers=MAY_FIND, findable=lambda _: results)
    keys = ("StudyInstanceUID", "PatientID", "PatientName")
    found = find(peer_of(scp), "STUDY", {"StudyDate": "2026-"}, return_keys=keys)
    assert [(str(row.PatientID), str(row.PatientName)) for row in found] == [
        ("A", "Yamada^Tarou=山田^太郎"),
        ("B", "Bravo^Bob"),
    ]
    (only,) = find(peer_of(scp), "STUDY", {"PatientID": "B"}, return_keys=keys)
    assert only.PatientName == "Bravo^Bob"
