"""What a modality or PACS sees when it sends to the node."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pydicom
import pytest
from pynetdicom import AE

from listener.access import AllowedPeer
from listener.errors import AssociationRejectedError
from listener.scp import AssociationEnd
from listener.scu import StoreCategory, echo, store
from listener.spool import Spool, StoreReceipt
from tests.conftest import wait_until
from tests.listener.conftest import CT, bundled, data_set_of, dcmtk, peer_of, write_part10

BUNDLED = (
    "CT_small.dcm",
    "MR_small.dcm",
    "MR_small_RLE.dcm",
    "MR_small_jp2klossless.dcm",
    "MR_small_bigendian.dcm",
    "JPEG2000.dcm",
    "JPGExtended.dcm",
    "JPEG-lossy.dcm",
    "image_dfl.dcm",
    "SC_rgb_jpeg_gdcm.dcm",
    "SC_rgb_small_odd.dcm",
    "examples_palette.dcm",
    "examples_ybr_color.dcm",
)


def only_instance(spool: Spool, study: str):
    (instance,) = spool.instances(study)
    return instance


def assert_same_image(kept: Path, sent: Path) -> None:
    """Compare what DCMTK leaves alone: it encodes lengths of sequences and groups anew."""
    ours, theirs = pydicom.dcmread(kept), pydicom.dcmread(sent)
    assert ours.file_meta.TransferSyntaxUID == theirs.file_meta.TransferSyntaxUID
    assert ours.SOPInstanceUID == theirs.SOPInstanceUID
    assert ours.PixelData == theirs.PixelData


@pytest.mark.parametrize("name", BUNDLED)
def test_the_spool_holds_exactly_the_bytes_that_were_sent(name, start_scp, spool):
    path = bundled(name)
    (outcome,) = store(peer_of(start_scp()), [path])
    assert outcome.category is StoreCategory.SUCCESS, outcome.comment
    sent = pydicom.dcmread(path, stop_before_pixels=True)
    kept = only_instance(spool, sent.StudyInstanceUID)
    assert data_set_of(kept.path) == data_set_of(path)
    read = pydicom.dcmread(kept.path)
    assert read.file_meta.TransferSyntaxUID == sent.file_meta.TransferSyntaxUID
    assert read.file_meta.SourceApplicationEntityTitle == "MODALITY"
    assert read.file_meta.ReceivingApplicationEntityTitle == "NODE"


def test_a_pynetdicom_sender_gets_success_for_echo_and_store(start_scp, spool):
    dataset = pydicom.dcmread(bundled("CT_small.dcm"))
    sender = AE("MODALITY")
    sender.add_requested_context("1.2.840.10008.1.1")
    sender.add_requested_context(CT)
    association = sender.associate("127.0.0.1", start_scp().port, ae_title="NODE")
    assert association.send_c_echo().Status == 0
    assert association.send_c_store(dataset).Status == 0
    association.release()
    kept = only_instance(spool, dataset.StudyInstanceUID)
    assert pydicom.dcmread(kept.path).PixelData == dataset.PixelData


def test_a_dcmtk_sender_is_served_and_dcmdump_reads_what_was_kept(start_scp, spool):
    scp = start_scp()
    names = ("CT_small.dcm", "MR_small.dcm")
    command = [dcmtk("storescu"), "-aet", "MODALITY", "-aec", "NODE", "127.0.0.1", str(scp.port)]
    subprocess.run(
        [*command, *(str(bundled(name)) for name in names)],
        env=os.environ | {"TCP_NODELAY": "1"},
        check=True,
        timeout=120,
    )
    for name in names:
        uid = pydicom.dcmread(bundled(name), stop_before_pixels=True).StudyInstanceUID
        kept = only_instance(spool, uid)
        assert_same_image(kept.path, bundled(name))
        dump = subprocess.run(
            [dcmtk("dcmdump"), str(kept.path)], check=True, capture_output=True, timeout=120
        )
        assert b"MODALITY" in dump.stdout


@pytest.mark.parametrize(
    ("name", "option"),
    [("JPEG2000.dcm", "-xw"), ("MR_small_RLE.dcm", "-xr"), ("JPGExtended.dcm", "-xx")],
)
def test_a_dcmtk_sender_of_compressed_images_is_served(name, option, start_scp, spool):
    scp = start_scp()
    command = [dcmtk("storescu"), option, "-aec", "NODE", "127.0.0.1", str(scp.port)]
    environment = os.environ | {"TCP_NODELAY": "1"}
    subprocess.run([*command, str(bundled(name))], env=environment, check=True, timeout=120)
    assert scp.statistics.stored == 1
    (study,) = spool.studies()
    assert_same_image(only_instance(spool, study).path, bundled(name))


def test_bad_objects_are_refused_and_quarantined_while_the_association_goes_on(
    start_scp, spool, make_ct, tmp_path
):
    first, last = make_ct("1.2.3", "1.2.3.1"), make_ct("1.2.3", "1.2.3.1")
    whole = data_set_of(make_ct("1.2.3", "1.2.3.1", sop="1.2.3.1.99"))
    truncated = write_part10(tmp_path / "cut", whole[:-500], sop_instance_uid="1.2.3.1.99")
    noise = write_part10(tmp_path / "noise", bytes(range(256)) * 9, sop_instance_uid="1.2.3.1.98")
    other = write_part10(tmp_path / "other", whole, sop_instance_uid="1.2.3.1.97")
    scp = start_scp()
    outcomes = store(peer_of(scp), [first, truncated, noise, other, last])
    assert [outcome.status for outcome in outcomes] == [0, 0xC000, 0xC000, 0xA900, 0]
    assert "cut short" in outcomes[1].comment
    assert len(spool.instances("1.2.3")) == 2
    refused = {entry.sop_instance_uid: entry for entry in spool.quarantined()}
    assert set(refused) == {"1.2.3.1.99", "1.2.3.1.98", "1.2.3.1.97"}
    assert refused["1.2.3.1.99"].calling_ae_title == "MODALITY"
    assert refused["1.2.3.1.99"].path.read_bytes() == whole[:-500]
    assert scp.statistics.refused_invalid == 2
    assert scp.statistics.refused_mismatch == 1
    assert scp.statistics.associations == 1


def test_a_refused_object_that_is_sent_again_and_again_is_quarantined_once(
    start_scp, spool, tmp_path
):
    noise = write_part10(tmp_path / "noise", b"not DICOM at all", sop_instance_uid="1.2.3")
    scp = start_scp()
    for _ in range(3):
        store(peer_of(scp), [noise])
    assert len(list(spool.quarantined())) == 1
    assert scp.statistics.refused_invalid == 3


def test_a_quarantine_note_holds_no_patient_data(start_scp, spool, make_ct, tmp_path):
    whole = data_set_of(make_ct("1.2.3", "1.2.3.1", sop="1.2.3.1.99"))
    cut = write_part10(tmp_path / "cut", whole[:-2], sop_instance_uid="1.2.3.1.99")
    store(peer_of(start_scp()), [cut])
    (entry,) = spool.quarantined()
    patient = pydicom.dcmread(bundled("CT_small.dcm"), stop_before_pixels=True)
    note = entry.path.with_suffix(".json").read_text()
    assert str(patient.PatientName) not in note
    assert str(patient.PatientID) not in note


def test_a_repeated_instance_is_acknowledged_and_kept_once(start_scp, spool, make_ct):
    path = make_ct("1.2.3", "1.2.3.1")
    reported: list[StoreReceipt] = []
    scp = start_scp(reported.append)
    for _ in range(2):
        (outcome,) = store(peer_of(scp), [path])
        assert outcome.category is StoreCategory.SUCCESS
    assert [instance.new for instance in reported] == [True, False]
    assert len(spool.versions("1.2.3")) == 1
    assert scp.statistics.duplicates == 1


def test_an_unknown_calling_ae_is_rejected_and_counted_and_a_known_one_let_in(start_scp):
    scp = start_scp(peers=(AllowedPeer("ct1", "MODALITY"),))
    with pytest.raises(AssociationRejectedError, match="Calling AE title not recognised"):
        echo(peer_of(scp, calling="STRANGER"))
    assert echo(peer_of(scp, calling="MODALITY")).round_trip_s > 0
    assert scp.statistics.rejected_calling_ae == 1
    assert scp.statistics.associations == 1


def test_a_node_that_knows_no_peer_lets_nobody_in(start_scp):
    scp = start_scp(peers=())
    with pytest.raises(AssociationRejectedError):
        echo(peer_of(scp))


def test_one_association_too_many_is_rejected_as_transient(start_scp):
    scp = start_scp(max_associations=1)
    sender = AE("MODALITY")
    sender.add_requested_context("1.2.840.10008.1.1")
    held = sender.associate("127.0.0.1", scp.port, ae_title="NODE")
    assert held.is_established
    with pytest.raises(AssociationRejectedError) as caught:
        echo(peer_of(scp))
    assert caught.value.transient
    held.release()
    wait_until(lambda: scp.statistics.rejected_other == 1, "the rejection to be counted")


def test_a_failing_subscriber_costs_the_sender_nothing(start_scp, spool, make_ct):
    def fail(_stored):
        raise RuntimeError("the database is away")

    paths = [make_ct("1.2.3", "1.2.3.1") for _ in range(2)]
    outcomes = store(peer_of(start_scp(fail)), paths)
    assert [outcome.status for outcome in outcomes] == [0, 0]
    assert len(spool.instances("1.2.3")) == 2


def test_the_end_of_an_association_names_the_studies_it_brought(start_scp, make_ct):
    ends: list[AssociationEnd] = []
    scp = start_scp(ended=ends.append)
    store(peer_of(scp), [make_ct("1.2.3", "1.2.3.1"), make_ct("1.2.4", "1.2.4.1")])
    scp.stop()
    (end,) = ends
    assert end.study_instance_uids == {"1.2.3", "1.2.4"}
    assert end.released


def test_stopping_aborts_an_idle_association_after_its_limit(start_scp):
    scp = start_scp(stop_timeout_s=0.2)
    sender = AE("MODALITY")
    sender.add_requested_context("1.2.840.10008.1.1")
    held = sender.associate("127.0.0.1", scp.port, ae_title="NODE")
    scp.stop()
    wait_until(lambda: not held.is_established, "the abort")
    assert held.is_aborted
    with pytest.raises(RuntimeError):
        _ = scp.port


def test_sixteen_senders_at_once_lose_nothing(start_scp, spool, make_ct):
    from concurrent.futures import ThreadPoolExecutor

    scp = start_scp()
    batches: list[list[Path]] = [
        [make_ct("1.2.3", f"1.2.3.{sender}") for _ in range(3)] for sender in range(1, 17)
    ]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda batch: store(peer_of(scp), batch), batches))
    assert all(outcome.status == 0 for answer in answers for outcome in answer)
    assert len(spool.instances("1.2.3")) == 48
