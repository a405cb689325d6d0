"""Which task reads which image: every condition must hold, and the first task that fits wins."""

from pathlib import Path
from typing import Any

import pytest

from mediclip_dicom.imaging import ImageHeader, read_header
from mediclip_dicom.tasks import Route, first_match
from tests.factories import sources


@pytest.fixture
def radiograph(tmp_path: Path) -> ImageHeader:
    """A CR of the chest, view PA, described as "CR synthetic"."""
    return read_header(sources.computed_radiograph(tmp_path))


@pytest.fixture
def bare_radiograph(tmp_path: Path) -> ImageHeader:
    """The same without body part, view and description, as a plain device sends it."""
    nothing: dict[str, Any] = {"BodyPartExamined": "", "ViewPosition": "", "SeriesDescription": ""}
    return read_header(sources.computed_radiograph(tmp_path, **nothing))


@pytest.mark.parametrize(
    "route",
    [
        Route("CR"),
        Route("cr"),
        Route("CR", body_part="chest"),
        Route("CR", view="pa"),
        Route("CR", series_description="*SYNTH*"),
        Route("CR", series_description="CR synthetic"),
        Route("CR", body_part="CHEST", view="PA", series_description="cr ?ynthetic"),
    ],
)
def test_a_task_reads_an_image_that_meets_every_condition(
    route: Route, radiograph: ImageHeader
) -> None:
    assert route.matches(radiograph)


@pytest.mark.parametrize(
    "route",
    [
        Route("DX"),
        Route("C"),
        Route("CR", body_part="HAND"),
        Route("CR", view="AP"),
        Route("CR", series_description="synthetic"),
        Route("CR", body_part="CHEST", view="AP"),
        Route("DX", body_part="CHEST", view="PA"),
    ],
)
def test_one_condition_that_fails_is_enough_to_leave_an_image_alone(
    route: Route, radiograph: ImageHeader
) -> None:
    assert not route.matches(radiograph)


@pytest.mark.parametrize(
    "route",
    [
        Route("CR", body_part="CHEST"),
        Route("CR", view="PA"),
        Route("CR", series_description="*synthetic*"),
        Route("CR", series_description="?*"),
    ],
)
def test_what_an_image_does_not_say_meets_no_condition(
    route: Route, bare_radiograph: ImageHeader
) -> None:
    assert not route.matches(bare_radiograph)


def test_an_image_that_says_nothing_is_read_by_a_task_that_asks_for_nothing(
    bare_radiograph: ImageHeader,
) -> None:
    assert Route("CR").matches(bare_radiograph)
    assert Route("CR", series_description="*").matches(bare_radiograph)


def test_an_image_without_modality_is_read_by_no_task(tmp_path: Path) -> None:
    header = read_header(sources.computed_radiograph(tmp_path, Modality=""))
    assert not Route("CR").matches(header)
    assert first_match([(Route("CR"), 1), (Route("MR"), 2)], header) is None


@pytest.mark.parametrize("pattern", ["[", "*[", "[]", "CR [synthetic"])
def test_a_lone_bracket_in_a_pattern_stands_for_itself(
    pattern: str, radiograph: ImageHeader
) -> None:
    assert not Route("CR", series_description=pattern).matches(radiograph)


def test_of_several_tasks_the_first_that_fits_reads_the_image(radiograph: ImageHeader) -> None:
    routes = [
        (Route("MR"), "mr"),
        (Route("CR", view="AP"), "ap"),
        (Route("CR", view="PA"), "pa"),
        (Route("CR"), "any"),
    ]
    assert first_match(routes, radiograph) == "pa"
    assert first_match(reversed(routes), radiograph) == "any"


def test_an_image_that_no_task_reads_has_no_match(radiograph: ImageHeader) -> None:
    assert first_match([(Route("MR"), "mr"), (Route("CT"), "ct")], radiograph) is None
    assert first_match([], radiograph) is None


def test_a_route_says_in_words_what_it_takes() -> None:
    assert str(Route("MR")) == "MR"
    assert str(Route("MR", "BRAIN", None, "*T1*")) == "MR, body part BRAIN, series *T1*"
    assert str(Route("CR", "CHEST", "PA")) == "CR, body part CHEST, view PA"


def test_an_excluded_series_is_not_matched_and_its_pattern_is_named(tmp_path: Path) -> None:
    (path, *_) = sources.mr_series(tmp_path, SeriesDescription="Sag MIP 3D")
    header = read_header(path)
    route = Route("MR", excluded_series=("*scout*", "*mip*"))
    assert not route.matches(header)
    assert route.exclusion(header) == "*mip*"
    assert Route("CT", excluded_series=("*mip*",)).exclusion(header) is None
    assert Route("MR", excluded_series=("*t2*",)).matches(header)
    assert str(route) == "MR, without series *scout*, *mip*"
