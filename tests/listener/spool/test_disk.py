"""A disk that runs low or full: nothing taken is lost, and receiving goes on by itself."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pynetdicom import AE

from listener.errors import AssociationRejectedError
from listener.scu import echo, store
from listener.spool import Spool
from listener.spool.disk import LowDiskMark, Space
from tests.listener.conftest import CT, peer_of


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 512 KiB in memory."""
    mount = tmp_path / "small"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(mount)]
    if os.geteuid() != 0 or subprocess.run(command, check=False).returncode != 0:
        pytest.skip("needs root and the right to mount a tmpfs")
    yield mount
    subprocess.run(["umount", str(mount)], check=True)


def test_the_larger_of_bytes_and_percent_is_the_mark():
    space = [Space(free=150, total=1000)]
    by_percent = LowDiskMark(lambda: space[0], min_free_bytes=100, min_free_percent=20)
    by_bytes = LowDiskMark(lambda: space[0], min_free_bytes=100, min_free_percent=5)
    assert by_percent.is_low
    assert not by_bytes.is_low
    assert by_percent.room() is None
    assert by_bytes.room() == 50


def test_a_disk_that_was_low_is_taken_for_good_only_a_little_above_the_mark():
    space = [Space(free=99, total=1000)]
    mark = LowDiskMark(lambda: space[0], min_free_bytes=100, min_free_percent=0)
    assert mark.is_low
    space[0] = Space(free=101, total=1000)
    assert mark.is_low
    space[0] = Space(free=110, total=1000)
    assert not mark.is_low


def test_on_a_low_disk_a_running_association_hears_a700_and_a_new_one_is_rejected_as_transient(
    small_disk, start_scp, make_ct
):
    with Spool(small_disk / "spool") as spool:
        scp = start_scp(into=spool, min_free_bytes=100_000)
        sender = AE("MODALITY")
        sender.add_requested_context(CT, "1.2.840.10008.1.2.1")
        association = sender.associate("127.0.0.1", scp.port, ae_title="NODE")
        first, second = make_ct("1.2.3", "1.2.3.1"), make_ct("1.2.3", "1.2.3.1")
        assert association.send_c_store(first).Status == 0
        other = small_disk / "something else"
        other.write_bytes(bytes(spool.space().free - 90_000))
        assert association.send_c_store(second).Status == 0xA700
        assert scp.is_disk_low
        with pytest.raises(AssociationRejectedError, match="Temporary congestion") as caught:
            echo(peer_of(scp))
        assert caught.value.transient
        other.unlink()
        assert association.send_c_store(second).Status == 0
        association.release()
        assert echo(peer_of(scp)).round_trip_s > 0
        assert len(spool.instances("1.2.3")) == 2
        assert scp.statistics.refused_resources == 1
        assert scp.statistics.rejected_disk_low == 1
        scp.stop()


def test_a_disk_that_is_really_full_refuses_and_keeps_what_it_had(small_disk, start_scp, make_ct):
    with Spool(small_disk / "spool") as spool:
        scp = start_scp(into=spool)
        paths = [make_ct("1.2.3", "1.2.3.1") for _ in range(20)]
        statuses = [outcome.status for outcome in store(peer_of(scp), paths)]
        assert set(statuses) == {0, 0xA700}
        assert len(spool.instances("1.2.3")) == statuses.count(0)
        assert list((small_disk / "spool" / "incoming").iterdir()) == []
        scp.stop()
