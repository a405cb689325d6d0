"""Memory does not grow with what is received: neither with an object nor with a series."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pydicom
import pytest
from pynetdicom.dsutils import encode

from listener.scu import Peer, store
from listener.spool import Spool
from tests.conftest import is_soak, soak_rounds
from tests.listener.conftest import bundled
from tests.listener.receivers import Receiver, forking
from tests.listener.wire import RELEASE, RELEASE_RP, Value, pdu, store_command, wire_to

BLOCK = 120 * 1024


def peak_mib(receiver: Receiver) -> float:
    """The most memory that the process had of its own, pages of files not counted."""
    status = Path(f"/proc/{receiver.process_id}/status")
    if not status.exists():
        pytest.skip("needs /proc to look into another process")
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return (int(lines["VmHWM"].split()[0]) - int(lines["RssFile"].split()[0])) / 1024


@contextmanager
def receiving(root: Path) -> Iterator[Receiver]:
    with forking() as receivers:
        receiver = receivers.start(root)
        try:
            yield receiver
        finally:
            os.kill(receiver.process_id, signal.SIGKILL)


def large_ct(*, rows: int, columns: int) -> bytes:
    """All of a CT but its pixels, which are as many zeros as it says."""
    dataset = pydicom.dcmread(bundled("CT_small.dcm"))
    dataset.StudyInstanceUID, dataset.SOPInstanceUID = "1.2.3", "1.2.3.1"
    del dataset[0xFFFCFFFC]
    dataset.Rows, dataset.Columns = rows, columns
    dataset.PixelData = b""
    header = encode(dataset, is_implicit_vr=False, is_little_endian=True)
    assert header is not None
    return header[:-4] + (2 * rows * columns).to_bytes(4, "little")


@pytest.mark.soak
def test_a_large_object_is_never_in_memory_as_a_whole(tmp_path):
    rows = 32_000 if is_soak() else 4_000
    header, pixels = large_ct(rows=rows, columns=32_000), 2 * rows * 32_000
    blocks = [BLOCK] * (pixels // BLOCK) + [pixels % BLOCK]
    zeros = bytes(BLOCK)
    with receiving(tmp_path) as receiver, wire_to(receiver.port) as wire:
        before = peak_mib(receiver)
        wire.send(pdu([Value(store_command("1.2.3.1"), True, False), Value(b"", True, True)]))
        wire.send(pdu([Value(header, False, False)]))
        for size in blocks:
            wire.send(pdu([Value(zeros[:size], False, False)]))
        wire.send(pdu([Value(b"", False, True)]) + RELEASE)
        heard = wire.hear_all()
        assert heard.stored == ["1.2.3.1"]
        assert heard.kinds[-1] == RELEASE_RP
        assert peak_mib(receiver) - before < 32
    with Spool(tmp_path) as spool:
        (kept,) = spool.instances("1.2.3")
        assert kept.size > pixels


@pytest.mark.soak
def test_memory_is_flat_while_a_long_series_comes_in(tmp_path, make_ct):
    count = soak_rounds(short=300, long=3000)
    paths = [make_ct("1.2.3", "1.2.3.1", shade=shade) for shade in range(count)]
    with receiving(tmp_path / "spool") as receiver:
        peer = Peer("NODE", "127.0.0.1", receiver.port, dimse_timeout_s=20)
        assert {outcome.status for outcome in store(peer, paths[: count // 10])} == {0}
        before = peak_mib(receiver)
        assert {outcome.status for outcome in store(peer, paths)} == {0}
        assert peak_mib(receiver) - before < 8
