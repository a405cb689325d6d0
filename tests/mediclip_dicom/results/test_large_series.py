"""A long series: one Segmentation without a validator's error, and lesions of their true size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bench import results as bench
from tests.conftest import soak_rounds


@pytest.mark.soak
@pytest.mark.parametrize("marked", [0.0, 1.0])
def test_a_long_series_gets_one_segmentation_that_holds_to_the_standard(
    tmp_path: Path,
    dciodvfy_errors: Callable[[Path], list[str]],
    marked: float,
) -> None:
    slices = soak_rounds(short=200, long=2000)
    (tmp_path / "ct").mkdir()
    bench.write_ct(tmp_path / "ct", slices)
    bench.write_maps(tmp_path / "maps.npy", slices, marked)
    figures = bench.write(tmp_path, ["SR", "SEG"], round(slices * marked))
    written = sorted((tmp_path / "out").glob("*.dcm"))
    assert len(written) == 2
    assert [error for path in written for error in dciodvfy_errors(path)] == []
    if not marked:
        assert figures["findings"] == 3
        assert figures["volume_found_over_true"] == pytest.approx([1, 1, 1], rel=0.25)
