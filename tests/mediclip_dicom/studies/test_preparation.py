"""Windows, crop and tiles: a study is analysed as the task was registered, and maps come back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from ai_core import Backbone
from mediclip_dicom.database import TaskVersion, open_database
from mediclip_dicom.errors import SupportSetReadError, TaskError
from mediclip_dicom.imaging import Preparation, Window, find_boxes, parse_window
from mediclip_dicom.node import Node
from mediclip_dicom.results.maps import source_map
from mediclip_dicom.settings import Settings
from mediclip_dicom.studies import (
    RevisionInfo,
    make_reading,
    newest_reading,
    score_images,
    stored_reading,
)
from mediclip_dicom.tasks import (
    DetectorStore,
    FolderSource,
    Registered,
    Route,
    active_version,
    read_images,
    read_support_set,
    register_from_paths,
)
from tests.conftest import wait_until
from tests.factories import sources
from tests.factories.modalities import change
from tests.factories.nodes import is_finished, send
from tests.factories.readings import FINISHED
from tests.factories.studies import mr_study, study_uid
from tests.factories.tasks import SMALLEST, TASK, K, request_for


def ct_study(folder: Path, number: int, **changes: object) -> list[Path]:
    """A small study whose body is 450 Hounsfield units and its surround 20."""
    paths = mr_study(folder, number, slices=2)
    for path in paths:
        change(
            path,
            **{
                "SOPClassUID": sources.CT,
                "Modality": "CT",
                "RescaleSlope": "1",
                "RescaleIntercept": "0",
                "RescaleType": "HU",
                **changes,
            },
        )
    return paths


def register(
    sessions: sessionmaker[Session],
    paths: list[Path],
    backbone: Backbone,
    **changes: object,
) -> Registered:
    request = request_for(preset=SMALLEST, **changes)  # type: ignore[arg-type]
    return register_from_paths(sessions, paths, request, backbone=backbone)


def test_a_task_keeps_what_is_done_to_its_images_and_a_study_is_shown_to_it_in_the_same_way(
    tmp_path: Path, sessions: sessionmaker[Session], backbone: Backbone
) -> None:
    normals = [path for n in range(K) for path in mr_study(tmp_path / str(n), n, slices=2)]
    windows = (Window(center=500, width=1000), Window(center=300, width=400))
    registered = register(
        sessions, normals, backbone, windows=windows, crop=True, tiles=2, images_per_study=1
    )
    assert registered.images == K
    assert registered.passes == 2 * 9

    with sessions() as session:
        version = active_version(session, TASK)
    assert version == registered.version
    assert version.definition.windows == windows
    assert version.preparation == Preparation("pad", windows, crop=True, tiles=2)

    detector = DetectorStore(sessions, backbone).get(version.id)
    paths = mr_study(tmp_path / "new", 30, lesion=True)
    images = read_images(paths)
    scored = score_images(
        images, detector=detector, version=version, maps_path=tmp_path / "maps.npy", batch_limit=1
    )
    (box,) = {*find_boxes(images, version.preparation).values()}
    assert len(scored) == 3
    for image in scored:
        if image.score is None:
            assert image.skipped is not None
            continue
        assert image.placement is not None
        assert image.placement.box == box
        assert float(image.read_map().max()) == image.score
        outside = np.ones((image.header.rows, image.header.columns), dtype=bool)
        top, left, rows, columns = box
        outside[top : top + rows, left : left + columns] = False
        assert not source_map(image)[outside].any()

    # all frames of a sampled normal study are calibrated on exactly what an analysis sees of them
    support = read_support_set(
        FolderSource(tuple(normals)),
        route=Route("MR"),
        preparation=version.preparation,
        images_per_study=1,
    )
    assert support.images.shape == (2 * K, 3, 448, 448)
    assert support.groups == tuple(study for study in range(K) for _ in range(2))
    study = support.studies[0]
    assert study.sampled
    whole = read_support_set(
        FolderSource(tuple(normals[:2])),
        route=Route("MR"),
        preparation=version.preparation,
        images_per_study=2,
    )
    batches = list(study.batches(18))
    assert [len(batch) for batch in batches] == [2, 2]
    assert (np.concatenate(batches) == whole.images.numpy()).all()


def test_a_stored_reading_places_its_maps_in_the_box_that_was_scored(
    tmp_path: Path, settings: Settings, backbone: Backbone
) -> None:
    sessions = open_database(settings.database_url)
    normals = [path for n in range(K) for path in mr_study(tmp_path / str(n), n)]
    version = register(sessions, normals, backbone, crop=True).version
    paths = mr_study(tmp_path / "new", 31)
    (box,) = {*find_boxes(read_images(paths), version.preparation).values()}
    assert box != (0, 0, 48, 64)
    uid = study_uid(31)
    with Node(settings, backbone=backbone) as node:
        send(node, paths)
        wait_until(lambda: is_finished(sessions, uid), "the run")
    with sessions() as session:
        ((run_id, version_id),) = newest_reading(session, uid).sources
        reading = stored_reading(session, settings, run_id, version_id)
    placements = [image.placement for image in reading.images if image.score is not None]
    assert placements
    assert {placement.box for placement in placements if placement is not None} == {box}


@pytest.mark.parametrize("window", ["lung", "brain"])
def test_a_window_in_hounsfield_units_is_refused_for_images_without_and_nothing_is_stored(
    window: str, tmp_path: Path, sessions: sessionmaker[Session], backbone: Backbone
) -> None:
    normals = [path for n in range(K) for path in mr_study(tmp_path / str(n), n)]
    with pytest.raises(SupportSetReadError, match="a MR image has no Hounsfield units") as told:
        register(sessions, normals, backbone, windows=(parse_window(window),))
    assert window in str(told.value)
    assert "take a window in numbers or none" in str(told.value)
    with sessions() as session:
        assert session.scalars(select(TaskVersion)).all() == []


def test_a_picture_has_no_values_for_a_window(
    tmp_path: Path, sessions: sessionmaker[Session], backbone: Backbone
) -> None:
    path = tmp_path / "x.png"
    Image.radial_gradient("L").save(path)
    with pytest.raises(SupportSetReadError, match="a picture, whose values have no unit"):
        register(sessions, [path], backbone, windows=(Window(center=40, width=80),))


def test_an_image_without_hounsfield_units_makes_a_study_undetermined_with_the_reason(
    tmp_path: Path, sessions: sessionmaker[Session], backbone: Backbone
) -> None:
    normals = [path for n in range(K) for path in ct_study(tmp_path / str(n), n)]
    windows = (parse_window("bone"), parse_window("mediastinum"))
    version = register(sessions, normals, backbone, route=Route("CT"), windows=windows).version
    assert version.definition.windows == windows
    detector = DetectorStore(sessions, backbone).get(version.id)
    paths = ct_study(tmp_path / "new", 32, RescaleType="US")
    scored = score_images(
        read_images(paths), detector=detector, version=version, maps_path=tmp_path / "maps.npy"
    )
    revision = RevisionInfo(number=1, content_digest="ab" * 32, analysed_at=FINISHED)
    reading = make_reading(scored, version=version, revision=revision)
    assert reading.verdict == "undetermined"
    for image in scored:
        assert image.skipped is not None
        assert "no Hounsfield units for the task's window" in image.skipped
        assert "Rescale Type (0028,1054) is US" in image.skipped
    assert reading.window == windows[0]


def test_a_window_twice_is_an_error_before_anything_is_read(
    tmp_path: Path, sessions: sessionmaker[Session], backbone: Backbone
) -> None:
    twice = (parse_window("lung"), parse_window("lung"))
    with pytest.raises(TaskError, match="named twice"):
        register(sessions, [tmp_path / "nowhere"], backbone, windows=twice)
