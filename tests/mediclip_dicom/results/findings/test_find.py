"""Findings in space: lesions of known size and place come out with that size and place."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from mediclip_dicom.imaging import Plane
from mediclip_dicom.results import ImageReading
from mediclip_dicom.results.findings import REPORTED, Findings, Levels, find
from tests.factories import modalities, sources
from tests.factories.readings import image_readings, make_reading
from tests.factories.spaces import Ellipsoid, slices_of, space


def findings_of(images: Sequence[ImageReading], **changes: object) -> Findings:
    return find(make_reading(images, **changes))


def test_an_ellipsoid_has_its_volume_diameters_centre_slices_and_peak() -> None:
    ball = Ellipsoid((12.0, -20.0, 61.0), (30.0, 18.0, 24.0))
    (finding,) = findings_of(space(slices_of(40, step=3.0), [ball])).reported
    assert finding.volumetric
    assert finding.size.volume_mm3 == pytest.approx(ball.volume, rel=0.1)
    assert finding.size.longest_mm == pytest.approx(60, rel=0.1)
    assert finding.size.perpendicular_mm == pytest.approx(36, rel=0.1)
    assert finding.centre_mm == pytest.approx(ball.centre, abs=1.0)
    first, last = (image.plane for image in (finding.first, finding.last))
    assert first is not None
    assert last is not None
    assert first.position[2] == pytest.approx(61 - 24, abs=3)
    assert last.position[2] == pytest.approx(61 + 24, abs=3)
    assert finding.slices == pytest.approx(16, abs=1)
    assert finding.peak == pytest.approx(0.9)
    assert finding.key_image.plane is not None
    assert finding.key_image.plane.position[2] == pytest.approx(61, abs=3)


@pytest.mark.parametrize("step", [0.5, 1.0, 5.0])
@pytest.mark.parametrize("radius", [10.0, 25.0])
def test_the_volume_is_within_a_quarter_whatever_the_distance_between_slices(
    step: float, radius: float
) -> None:
    ball = Ellipsoid((3.0, 4.0, 60.0), (radius,) * 3)
    (finding,) = findings_of(space(slices_of(round(120 / step), step=step), [ball])).reported
    assert finding.size.volume_mm3 == pytest.approx(ball.volume, rel=0.25)


def test_the_order_of_the_files_changes_nothing() -> None:
    balls = [Ellipsoid((0, 0, 30), (20, 20, 9)), Ellipsoid((40, 40, 80), (15, 10, 12))]
    images = space(slices_of(50, step=2.5), balls)
    shuffled = [images[n] for n in np.random.default_rng(0).permutation(len(images))]
    first, second = findings_of(images), findings_of(shuffled)
    assert len(first.reported) == 2
    assert first.reported == second.reported


def test_one_missing_slice_is_bridged_and_counts_in_the_volume() -> None:
    ball = Ellipsoid((0, 0, 60), (20, 20, 20))
    images = space(slices_of(40, step=3.0), [ball])
    broken = dataclasses.replace(images[20], score=None, map=None, placement=None, skipped="broken")
    for some in ([*images[:20], *images[21:]], [*images[:20], broken, *images[21:]]):
        (finding,) = findings_of(some).reported
        assert finding.size.volume_mm3 == pytest.approx(ball.volume, rel=0.1)


def test_a_gap_of_several_slices_parts_two_regions_and_is_in_no_volume() -> None:
    column = Ellipsoid((0, 0, 60), (20, 20, 2000))
    images = space(slices_of(40, step=3.0), [column])
    found = findings_of([*images[:15], *images[20:]])
    assert len(found.reported) == 2
    volume = sum(finding.size.volume_mm3 or 0 for finding in found.reported)
    assert volume == pytest.approx(math.pi * 20 * 20 * 35 * 3, rel=0.1)


def test_a_tilted_gantry_changes_neither_volume_nor_centre() -> None:
    lean = math.radians(30)
    orientation = (1.0, 0.0, 0.0, 0.0, math.cos(lean), math.sin(lean))
    planes = [Plane((-100.0, -100.0, 4.0 * n - 60), orientation, (0.9, 0.9)) for n in range(40)]
    # Thin along the table and leaning with it: without the shear its slices would not overlap.
    ball = Ellipsoid((5.0, -12.0, 55.0), (14.0, 14.0, 26.0))
    (finding,) = findings_of(space(planes, [ball])).reported
    assert finding.size.volume_mm3 == pytest.approx(ball.volume, rel=0.15)
    assert finding.centre_mm == pytest.approx(ball.centre, abs=1.5)


def test_slices_that_are_displaced_in_their_plane_are_compared_in_the_patient() -> None:
    axial = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    planes = [Plane((-100.0, -100.0 + 12 * n, 5.0 * n), axial, (0.9, 0.9)) for n in range(8)]
    column = Ellipsoid((0.0, 40.0, 20.0), (8.0, 4.0, 4000.0))
    (finding,) = findings_of(space(planes, [column])).reported
    assert finding.slices == 8
    assert finding.size.volume_mm3 == pytest.approx(math.pi * 32 * 40, rel=0.1)


def test_lesions_that_touch_in_no_slice_are_two_and_ranked_by_size_for_equal_p_values() -> None:
    small = Ellipsoid((-40, 0, 30), (9, 9, 9))
    large = Ellipsoid((40, 0, 60), (20, 20, 20))
    found = findings_of(
        space(slices_of(40, step=2.5), [small, large]), p_value_of=lambda score: 0.1
    )
    first, second = found.reported
    assert (first.number, second.number) == (1, 2)
    assert first.centre_mm == pytest.approx(large.centre, abs=2)
    assert second.centre_mm == pytest.approx(small.centre, abs=2)
    assert first.p_value == 0.1


def test_a_lower_p_value_comes_before_a_larger_volume() -> None:
    strong = Ellipsoid((-40, 0, 20), (9, 9, 9), value=0.95)
    large = Ellipsoid((40, 0, 70), (20, 20, 20), value=0.7)
    found = findings_of(
        space(slices_of(40, step=2.5), [strong, large]), p_value_of=lambda score: 1 - score
    )
    assert [finding.p_value for finding in found.reported] == pytest.approx([0.05, 0.3])
    assert found.reported[0].centre_mm == pytest.approx(strong.centre, abs=2)


def test_a_region_grows_below_the_operating_point_and_only_from_a_seed() -> None:
    images = space(slices_of(5, step=2.5), [])
    maps = [np.array(image.read_map()) for image in images]
    for anomaly_map in maps:
        anomaly_map[50:80, 50:80] = 0.49  # grows: it touches a seed
        anomaly_map[60:70, 60:70] = 0.53
        anomaly_map[150:180, 150:180] = 0.49  # stays alone
    found = findings_of(with_maps(images, maps))
    (finding,) = found.reported
    assert finding.size.pixels == pytest.approx(pixels_of(images[0], 30 * 30), rel=0.1)
    assert found.specks == found.further == 0


def test_a_strong_lesion_does_not_spread_into_the_slices_next_to_it() -> None:
    images = space(slices_of(5, step=4.0), [])
    maps = [np.full((224, 224), 0.35, dtype=np.float32) for _ in images]
    maps[2][60:90, 60:90] = 1.0
    (finding,) = findings_of(with_maps(images, maps)).reported
    assert finding.slices == 1
    assert finding.size.volume_mm3 == pytest.approx(900 * 0.9 * 0.9 * 4)


def test_a_slice_that_is_weaker_than_its_neighbours_does_not_part_a_lesion() -> None:
    images = space(slices_of(5, step=4.0), [])
    maps = [np.full((224, 224), 0.1, dtype=np.float32) for _ in images]
    for anomaly_map, value in zip(maps[1:4], (0.7, 0.42, 0.7), strict=True):
        anomaly_map[60:90, 60:90] = value
    (finding,) = findings_of(with_maps(images, maps)).reported
    assert finding.slices == 3


def test_specks_are_counted_apart_and_further_findings_are_counted() -> None:
    balls = [Ellipsoid((-70 + 28 * (n % 6), -60 + 40 * (n // 6), 40), (8, 8, 8)) for n in range(14)]
    images = space(slices_of(33, step=2.5), balls)
    maps = [np.array(image.read_map()) for image in images]
    maps[3][3, 3] = 0.9
    maps[30][7, 200] = 0.9
    found = findings_of(with_maps(images, maps))
    assert len(found.reported) == REPORTED
    assert found.further == 4
    assert found.specks == 2


@pytest.mark.parametrize(
    ("side", "slices", "found"),
    [(9, 1, 0), (11, 1, 1), (9, 6, 0), (9, 8, 1), (4, 12, 0), (6, 12, 1)],
)
def test_a_region_that_the_detector_does_not_resolve_is_a_speck(
    side: int, slices: int, found: int
) -> None:
    """A patch is 14 x 14, half of it 98 pixels; slices are as far apart as pixels are wide."""
    images = space(slices_of(20, step=0.9), [Ellipsoid((50, 50, 9), (20, 20, 6))])
    maps = [np.array(image.read_map()) for image in images]
    for anomaly_map in maps[3 : 3 + slices]:
        anomaly_map[30 : 30 + side, 30 : 30 + side] = 0.9
    result = findings_of(with_maps(images, maps))
    assert len(result.reported) == 1 + found
    assert result.specks == 1 - found


def test_a_region_grows_to_a_share_of_its_own_peak_above_what_is_normal() -> None:
    """In log-odds, of 0.1 as what is normal: a weak region grows further down than a strong one."""
    images = space(slices_of(5, step=2.5), [])
    for peak, floor in ((0.52, 0.435), (0.55, 0.460), (0.59, 0.495), (0.7, 0.5), (0.99, 0.5)):
        levels = Levels(seed=0.5, own=0.4, background=0.1)
        assert levels.floor_of(peak) == pytest.approx(floor, abs=0.002)
        maps = [np.array(image.read_map()) for image in images]
        for anomaly_map in maps[1:4]:
            anomaly_map[40:60, 40:60] = floor - 0.003
            anomaly_map[60:80, 40:60] = peak
            anomaly_map[80:100, 40:60] = floor + 0.003
        (finding,) = findings_of(with_maps(images, maps)).reported
        assert finding.floor == pytest.approx(floor, abs=0.002)
        assert finding.size.pixels == pytest.approx(pixels_of(images[0], 800), rel=0.02)
    smoothed = Levels(seed=0.5, own=0.4, background=0.1, smoothed=True)
    assert smoothed.floor_of(0.9) == pytest.approx(0.825, abs=0.005)


def test_two_lesions_that_a_weak_bridge_joins_are_two_findings() -> None:
    """The bridge is below the operating point, and the level of both is above it."""
    images = space(slices_of(5, step=2.5), [])
    maps = [np.array(image.read_map()) for image in images]
    for anomaly_map in maps[1:4]:
        anomaly_map[60:80, 40:120] = 0.47
        anomaly_map[60:80, 40:60] = anomaly_map[60:80, 100:120] = 0.9
    assert len(findings_of(with_maps(images, maps)).reported) == 2


def test_where_all_is_specks_the_first_is_reported() -> None:
    images = space(slices_of(9, step=1.0), [])
    maps = [np.array(image.read_map()) for image in images]
    maps[3][3, 3], maps[6][100, 100] = 0.9, 0.95
    found = findings_of(with_maps(images, maps))
    assert len(found.reported) == 1
    assert found.specks == 1


def test_a_single_slice_has_an_area_and_no_volume() -> None:
    ball = Ellipsoid((0, 0, 0), (20, 20, 20))
    (finding,) = findings_of(space(slices_of(1, step=1.0), [ball])).reported
    assert not finding.volumetric
    assert finding.size.volume_mm3 is None
    assert finding.size.area_mm2 == pytest.approx(math.pi * 400, rel=0.1)


def test_images_in_one_place_are_planar() -> None:
    plane = slices_of(1, step=1.0)[0]
    beside = dataclasses.replace(plane, position=(plane.position[0] + 300, *plane.position[1:]))
    ball = Ellipsoid((0, 0, 0), (20, 20, 20))
    (finding,) = findings_of(space([plane, beside], [ball])).reported
    assert not finding.volumetric


def test_a_scout_in_the_series_has_findings_of_its_own_and_spoils_no_volume() -> None:
    ball = Ellipsoid((0, 0, 60), (20, 20, 20))
    scout = Plane((-100.0, 0.0, 160.0), (1.0, 0.0, 0.0, 0.0, 0.0, -1.0), (0.9, 0.9))
    planes = slices_of(40, step=3.0)
    found = findings_of(space([*planes[:7], scout, *planes[7:]], [ball]))
    volumetric, planar = sorted(found.reported, key=lambda f: not f.volumetric)
    assert volumetric.size.volume_mm3 == pytest.approx(ball.volume, rel=0.1)
    assert not planar.volumetric
    assert planar.size.area_mm2 == pytest.approx(math.pi * 400, rel=0.1)


def test_frames_of_an_enhanced_image_are_slices(tmp_path: Path) -> None:
    path = sources.enhanced_mr(tmp_path)
    images = image_readings(path, marked_frames=[2, 3])
    first, second = findings_of(images).reported
    assert first.volumetric
    assert (first.first.frame_number, first.last.frame_number) == (2, 3)
    assert second.volumetric


def test_a_radiograph_and_the_frames_of_an_ultrasound_have_planar_findings(
    tmp_path: Path,
) -> None:
    path = modalities.digital_radiograph(tmp_path, PixelSpacing=[0.9, 0.9])
    found = findings_of(image_readings(path))
    assert [finding.volumetric for finding in found.reported] == [False, False]
    assert found.reported[0].centre_mm is None
    assert found.reported[0].size.area_mm2 is not None
    cine = findings_of(image_readings(sources.ultrasound(tmp_path, frames=3)))
    assert len(cine.reported) == 6
    assert all(finding.first is finding.last for finding in cine.reported)


def test_where_the_spacing_is_unknown_the_measures_are_none_and_say_why(tmp_path: Path) -> None:
    path = sources.computed_radiograph(tmp_path, ImagerPixelSpacing=None)
    for finding in findings_of(image_readings(path)).reported:
        assert finding.size.area_mm2 is None
        assert finding.size.longest_mm is None
        assert finding.size.unknown == "the image has no pixel spacing"
        assert finding.size.pixels > 0


def test_a_normal_or_undetermined_study_has_no_findings() -> None:
    images = space(slices_of(9, step=2.0), [Ellipsoid((0, 0, 8), (20, 20, 6))])
    for changes in ({"verdict": "normal"}, {"verdict": "undetermined", "operating_point": None}):
        assert findings_of(images, **changes).reported == ()


def test_one_noisy_slice_decides_nothing_where_the_operating_point_is_of_smoothed_maps() -> None:
    images = space(slices_of(9, step=2.0), [])
    maps = [np.array(image.read_map()) for image in images]
    maps[4][50:80, 50:80] = 0.7
    noisy = with_maps(images, maps)
    assert len(findings_of(noisy).reported) == 1
    assert findings_of(noisy, smoothed=True).reported == ()
    ball = space(slices_of(9, step=2.0), [Ellipsoid((0, 0, 8), (20, 20, 6))])
    assert len(findings_of(ball, smoothed=True).reported) == 1


def with_maps(images: Sequence[ImageReading], maps: Sequence[np.ndarray]) -> list[ImageReading]:
    return [
        dataclasses.replace(image, map=anomaly_map)
        for image, anomaly_map in zip(images, maps, strict=True)
    ]


def pixels_of(image: ImageReading, map_pixels: int) -> float:
    assert image.placement is not None
    return map_pixels * image.header.rows * image.header.columns / 224**2
