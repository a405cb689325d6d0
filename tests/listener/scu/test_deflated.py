"""What is deflated reaches a peer deflated if it can inflate, and inflated if it can't."""

from __future__ import annotations

import subprocess
import zlib
from contextlib import contextmanager

import pydicom
import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from pynetdicom import AE, evt

from listener.errors import NoPresentationContextError
from listener.scu import Peer, StoreCategory, inflated, store
from tests.factories.servers import port_of, start_server
from tests.listener.conftest import CT, data_set_of, dcmtk, free_port, wait_for


@pytest.fixture
def deflated(make_ct, tmp_path):
    """A CT, and the same deflated."""
    plain = make_ct("1.2.3", "1.2.3.1")
    dataset = pydicom.dcmread(plain)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    path = tmp_path / "deflated.dcm"
    dataset.save_as(path)
    return plain, path


@contextmanager
def storescp(folder, *options):
    folder.mkdir()
    peer = Peer("PEER", "127.0.0.1", free_port())
    process = subprocess.Popen(
        [dcmtk("storescp"), "+B", *options, "-aet", "PEER", "-od", str(folder), str(peer.port)]
    )
    try:
        wait_for(peer, process)
        yield peer
    finally:
        process.terminate()
        process.wait(timeout=10)


def test_inflated_is_the_data_set_that_was_deflated_byte_for_byte_and_goes_with_the_context(
    deflated,
):
    plain, path = deflated
    with inflated(path) as made:
        assert data_set_of(made) == data_set_of(plain)
        meta = pydicom.dcmread(made).file_meta
        assert meta.TransferSyntaxUID == ExplicitVRLittleEndian
        assert meta.MediaStorageSOPInstanceUID == pydicom.dcmread(plain).SOPInstanceUID
    assert not made.exists()


def test_a_file_that_only_says_it_is_deflated_is_an_error(deflated):
    plain, _ = deflated
    with pytest.raises(zlib.error), inflated(plain):
        pass


def test_dcmtk_gets_it_inflated_unless_it_asks_for_deflated(tmp_path, deflated):
    plain, path = deflated
    for options, expected in (((), plain), (("+xd",), path)):
        folder = tmp_path / "-".join(("received", *options))
        with storescp(folder, *options) as peer:
            (outcome,) = store(peer, [path])
        assert outcome.category is StoreCategory.SUCCESS
        (kept,) = folder.iterdir()
        assert data_set_of(kept) == data_set_of(expected)


def test_a_peer_that_takes_neither_is_told_of_as_any_other(deflated):
    server = AE("PEER")
    server.add_supported_context(CT, ImplicitVRLittleEndian)
    running = start_server(server, handlers=[(evt.EVT_C_STORE, lambda _: 0)])
    try:
        with pytest.raises(NoPresentationContextError):
            store(Peer("PEER", "127.0.0.1", port_of(running)), [deflated[1]])
    finally:
        running.shutdown()
