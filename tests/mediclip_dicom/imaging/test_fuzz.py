"""Whatever the listener lets in, the node reads it or says why it does not."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from listener import Spool
from listener.errors import InvalidInstanceError
from mediclip_dicom.imaging import Preparation, iter_input_frames, read_headers
from tests.conftest import soak_rounds
from tests.listener.scp.test_bad_objects import damage, real_files


@pytest.mark.soak
@pytest.mark.filterwarnings("ignore")
def test_real_files_damaged_in_any_way_are_read_or_skipped_with_a_reason(
    shared_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    samples = [item for item in real_files(shared_data / "dicom") if len(item.data) < 300_000]
    with Spool(tmp_path_factory.mktemp("fuzz")) as spool:

        @settings(
            max_examples=soak_rounds(short=60, long=20_000),
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(st.data())
        def fuzz(data: st.DataObject) -> None:
            sample = data.draw(st.sampled_from(samples))
            damaged = data.draw(damage(sample.data))
            with suppress(InvalidInstanceError):
                stored = spool.store(damaged, sample.transfer)
                images, skipped = read_headers([stored.path])
                assert len(images) + len(skipped) == 1
                frames = list(iter_input_frames(images, preparation=Preparation("pad")))
                assert all(frame.skipped or frame.pixels is not None for frame in frames)
                stored.path.unlink()

        fuzz()
