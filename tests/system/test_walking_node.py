"""A study in, SEG and SR back: the real node between DCMTK and a real PACS."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import highdicom as hd
import pytest
from pydicom import dcmread

from listener import StoreCategory, store
from mediclip_dicom.cli.demo.errors import PacsError
from mediclip_dicom.cli.demo.pacs import DemoPacs, free_port
from tests.conftest import wait_until
from tests.factories.node_process import NodeProcess, make_study, study_uid
from tests.listener.conftest import data_set_of, write_part10

pytestmark = pytest.mark.system
MR = "1.2.840.10008.5.1.4.1.1.4"


@dataclass
class Site:
    node: NodeProcess
    pacs: DemoPacs

    def results(self, study: str) -> dict[str, int]:
        """How many instances of SR and SEG the PACS lists in a study."""
        counts = {"SR": 0, "SEG": 0}
        for series in self.pacs.find_series(study):
            if series.modality in counts:
                counts[series.modality] += len(series.sop_instance_uids)
        return counts


@pytest.fixture(scope="module")
def site(make_node: Callable[..., NodeProcess]) -> Iterator[Site]:
    port = free_port()
    with DemoPacs({"MEDICLIP": ("127.0.0.1", port)}) as pacs:
        node = make_node(node_port=port, pacs=pacs)
        node.start()
        yield Site(node, pacs)


def storescu(dcmtk: Path, node: NodeProcess, paths: list[Path]) -> None:
    settings = node.settings.node
    subprocess.run(
        [dcmtk / "storescu", "-aec", settings.ae_title, "127.0.0.1", str(settings.port), *paths],
        check=True,
        capture_output=True,
    )


def test_a_study_sent_by_dcmtk_comes_back_as_seg_and_sr_once(
    site: Site, dcmtk: Path, tmp_path: Path
) -> None:
    paths = make_study(tmp_path / "a", 1, lesion=True)
    site.pacs.store(paths)
    storescu(dcmtk, site.node, paths)
    assert site.node.wait_for_runs(study_uid(1)) == [("done", True, 1)]
    assert site.results(study_uid(1)) == {"SR": 1, "SEG": 1}
    report = dcmread(site.pacs.retrieve(study_uid(1), tmp_path / "sr", modalities={"SR"})[0])
    assert report.StudyInstanceUID == study_uid(1)
    assert report.PatientID == "SENTINEL-1"
    (path,) = site.pacs.retrieve(study_uid(1), tmp_path / "seg", modalities={"SEG"})
    segmentation = hd.seg.segread(path)
    assert segmentation.FrameOfReferenceUID == dcmread(paths[0]).FrameOfReferenceUID
    marked = segmentation.get_pixels_by_source_instance(
        [dcmread(path).SOPInstanceUID for path in paths],
        ignore_spatial_locations=False,
        assert_missing_frames_are_empty=True,
    )
    assert marked.shape[:3] == (3, 64, 64)
    lesion = marked[:, 22:40, 20:38].any(axis=-1).mean()
    assert lesion > 4 * marked[:, :16].any(axis=-1).mean()

    # The same content again, then another study as the sign that the first has been looked at.
    storescu(dcmtk, site.node, paths)
    storescu(dcmtk, site.node, make_study(tmp_path / "b", 2))
    site.node.wait_for_runs(study_uid(2))
    assert site.node.runs(study_uid(1)) == [("done", True, 1)]
    assert site.results(study_uid(1)) == {"SR": 1, "SEG": 1}


def test_results_that_the_pacs_routes_back_start_no_second_analysis(
    site: Site, dcmtk: Path, tmp_path: Path
) -> None:
    paths = make_study(tmp_path / "a", 3, lesion=True)
    site.pacs.store(paths)
    site.pacs.send(study_uid(3), "MEDICLIP")
    site.node.wait_for_runs(study_uid(3))
    returned = site.results(study_uid(3))
    assert returned["SR"] == 1
    # The node negotiates images only: the PACS can't hand it a SEG or SR.
    with pytest.raises(PacsError, match=f"{sum(returned.values())} failed sub-operations"):
        site.pacs.send(study_uid(3), "MEDICLIP")
    storescu(dcmtk, site.node, make_study(tmp_path / "b", 4))
    site.node.wait_for_runs(study_uid(4))
    assert len(site.node.runs(study_uid(3))) == 1
    assert site.results(study_uid(3)) == returned


def test_a_later_slice_makes_a_new_revision_with_its_own_report(
    site: Site, dcmtk: Path, tmp_path: Path
) -> None:
    paths = make_study(tmp_path / "a", 5, slices=4)
    site.pacs.store(paths)
    storescu(dcmtk, site.node, paths[:3])
    site.node.wait_for_runs(study_uid(5))
    storescu(dcmtk, site.node, paths[3:])
    assert len(site.node.wait_for_runs(study_uid(5), 2)) == 2
    assert site.results(study_uid(5))["SR"] == 2


def test_broken_objects_amid_a_study_are_refused_and_the_rest_is_analysed(
    site: Site, tmp_path: Path
) -> None:
    first, second, third = make_study(tmp_path / "a", 6)
    site.pacs.store([first, second, third])
    whole = data_set_of(second)
    truncated = write_part10(
        tmp_path / "truncated.dcm",
        whole[: len(whole) // 2],
        sop_instance_uid=str(dcmread(second).SOPInstanceUID),
        sop_class_uid=MR,
    )
    no_dicom = write_part10(
        tmp_path / "letter.dcm",
        b"Dear colleague, this is no DICOM at all. " * 40,
        sop_instance_uid="1.2.3.4.5",
        sop_class_uid=MR,
    )
    outcomes = store(site.node.peer, [first, truncated, no_dicom, third])
    assert [outcome.status for outcome in outcomes] == [0x0000, 0xC000, 0xC000, 0x0000]
    assert outcomes[3].category is StoreCategory.SUCCESS
    assert site.node.wait_for_runs(study_uid(6)) == [("done", True, 1)]
    assert site.results(study_uid(6))["SR"] == 1


def test_a_study_of_another_modality_is_recorded_and_gets_no_result(
    site: Site, dcmtk: Path, tmp_path: Path
) -> None:
    paths = make_study(tmp_path / "a", 7)
    for path in paths:
        dataset = dcmread(path)
        dataset.Modality = "OT"
        dataset.save_as(path)
    storescu(dcmtk, site.node, paths)
    assert site.node.wait_for_runs(study_uid(7)) == [("no task", True, 0)]


def test_the_log_names_no_patient(site: Site) -> None:
    text = site.node.log.read_text()
    assert study_uid(1) in text
    assert "sentinel" not in text.lower()


@pytest.mark.parametrize("moment", ["before it is gathered", "while it is analysed"])
def test_a_study_survives_kill_9(
    make_node: Callable[..., NodeProcess], dcmtk: Path, tmp_path: Path, moment: str
) -> None:
    port = free_port()
    study = study_uid(20)
    with DemoPacs({}) as pacs:
        node = make_node(node_port=port, pacs=pacs)
        site = Site(node, pacs)
        node.start()
        paths = make_study(tmp_path / "a", 20, lesion=True)
        pacs.store(paths)
        storescu(dcmtk, node, paths)
        if moment == "while it is analysed":
            wait_until(lambda: bool(node.runs(study)), "the run to begin")
        node.end(signal.SIGKILL)
        node.start()
        assert node.wait_for_runs(study) == [("done", True, 1)]
        assert site.results(study) == {"SR": 1, "SEG": 1}
        node.end(signal.SIGKILL)
        node.start()
        storescu(dcmtk, node, make_study(tmp_path / "b", 21))
        node.wait_for_runs(study_uid(21))
        assert node.runs(study) == [("done", True, 1)]
        assert site.results(study) == {"SR": 1, "SEG": 1}
        assert node.end(signal.SIGTERM) == 0


def test_results_wait_for_a_pacs_that_is_away_and_a_stop_does_not_wait_for_it(
    make_node: Callable[..., NodeProcess], dcmtk: Path, tmp_path: Path
) -> None:
    away = DemoPacs({})
    node = make_node(node_port=free_port(), pacs=away)
    node.start()
    paths = make_study(tmp_path / "a", 22, lesion=True)
    storescu(dcmtk, node, paths)
    results = node.settings.storage.root / "results"
    wait_until(lambda: bool(list(results.rglob("*.dcm"))), "the results to be written")
    assert node.end(signal.SIGTERM) == 0
    with away:
        away.store(paths)
        node.start()
        node.wait_for_runs(study_uid(22))
        assert Site(node, away).results(study_uid(22)) == {"SR": 1, "SEG": 1}
        assert node.end(signal.SIGTERM) == 0
