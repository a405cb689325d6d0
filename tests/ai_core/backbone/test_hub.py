"""Where weights come from, and what is said where they cannot be had."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants

from ai_core import BackboneUnavailableError, DetectorError, load_backbone
from ai_core.backbone.hub import _local_fault, cache_folder, find_weights
from tests.ai_core.conftest import config_of, write_tiny

REPOSITORY = "models--timm--vit_large_patch14_clip_224.openai"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
WEIGHTS = b"weights as the hub has them"


@pytest.fixture(autouse=True)
def offline(monkeypatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def put_in_cache(folder: Path, name: str) -> Path:
    """A file where the hub's client would have left it."""
    home = folder / REPOSITORY
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text(COMMIT)
    file = home / "snapshots" / COMMIT / name
    file.parent.mkdir(parents=True)
    file.write_bytes(WEIGHTS)
    return file


class Hub(BaseHTTPRequestHandler):
    """A model hub that has one file of every repository."""

    asked: list[str]
    has: str
    content: bytes = WEIGHTS

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        self.asked.append(f"{self.command} {self.path}")
        found = self.path.endswith(f"/{self.has}")
        self.send_response(200 if found else 404)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", '"0123"')
        if not found:
            self.send_header("X-Error-Code", "EntryNotFound")
        self.send_header("Content-Length", str(len(self.content)) if found else "0")
        self.end_headers()
        if found and body:
            self.wfile.write(self.content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(params=["open_clip_model.safetensors", "open_clip_pytorch_model.bin"])
def hub(request, monkeypatch) -> Iterator[type[Hub]]:
    handler = type("OwnHub", (Hub,), {"asked": [], "has": request.param})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        reach(monkeypatch, server.server_port)
        yield handler
        server.shutdown()
        thread.join()


def reach(monkeypatch, port: int) -> None:
    endpoint = f"http://127.0.0.1:{port}"
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


def find(folder: Path, tag: str = "openai") -> Path:
    return find_weights(model="ViT-L-14", tag=tag, cache_dir=folder)


def test_the_cache_folder_is_the_given_one_or_the_hubs_own(tmp_path):
    assert cache_folder(tmp_path) == cache_folder(str(tmp_path)) == tmp_path
    assert cache_folder(None) == Path(constants.HF_HUB_CACHE)


@pytest.mark.parametrize("name", ["open_clip_model.safetensors", "open_clip_pytorch_model.bin"])
def test_cached_weights_are_found_without_a_network(tmp_path, name):
    file = put_in_cache(tmp_path, name)
    assert find(tmp_path) == file


def test_missing_weights_say_tag_folder_and_what_to_do(tmp_path):
    with pytest.raises(BackboneUnavailableError) as caught:
        load_backbone("ViT-L-14", "openai", device="cpu", cache_dir=tmp_path)
    text = str(caught.value)
    for part in ("'openai'", "'ViT-L-14'", str(tmp_path), "HF_HUB_OFFLINE", "copy a weights file"):
        assert part in text


def test_an_unreachable_hub_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    reach(monkeypatch, 1)
    with pytest.raises(BackboneUnavailableError, match=r"hub is not reachable.*refused"):
        find(tmp_path)


def test_weights_are_downloaded_once_and_then_taken_from_the_cache(tmp_path, hub):
    first = find(tmp_path)
    assert first.read_bytes() == WEIGHTS
    assert first.is_relative_to(tmp_path)
    asked = len(hub.asked)
    assert asked > 0
    assert find(tmp_path) == first
    assert len(hub.asked) == asked


def test_a_hub_without_the_weights_is_told(tmp_path, hub):
    hub.has = "something else"
    with pytest.raises(BackboneUnavailableError, match="download failed"):
        find(tmp_path)


def test_an_unknown_tag_names_the_known_ones(tmp_path):
    with pytest.raises(BackboneUnavailableError, match=r"'opnai'.*known tags: openai"):
        load_backbone("ViT-L-14", "opnai", device="cpu", cache_dir=tmp_path)


def test_a_path_that_does_not_exist_is_no_tag(tmp_path):
    for missing in (str(tmp_path / "none.safetensors"), str(tmp_path / "none"), "none.pt"):
        with pytest.raises(BackboneUnavailableError, match="no such file"):
            load_backbone("ViT-L-14", missing, device="cpu", cache_dir=tmp_path)


def test_an_unknown_model_is_told(tmp_path, tiny):
    for weights in ("openai", str(tiny.weights)):
        with pytest.raises(BackboneUnavailableError, match=r"'ViT-Z-9'.*no such model"):
            load_backbone("ViT-Z-9", weights, device="cpu", cache_dir=tmp_path)


def test_the_file_of_another_model_is_told(tmp_path, tiny):
    other = write_tiny(tmp_path, config_of(embed_dim=48), name="other")
    with pytest.raises(BackboneUnavailableError, match=r"other\.safetensors does not hold"):
        load_backbone(str(tiny.config), str(other.weights), device="cpu")


@pytest.mark.parametrize("ending", ["pt", "bin", "safetensors"])
@pytest.mark.parametrize(
    "content",
    [b"", b"x", b"\x00" * 64, b"not weights at all\n" * 20, b"PK\x03\x04 no zip", b"{}"],
    ids=["empty", "letter", "zeros", "text", "zip", "json"],
)
def test_a_file_that_holds_no_weights_is_told(tmp_path, tiny, ending, content):
    file = tmp_path / f"garbage.{ending}"
    file.write_bytes(content)
    with pytest.raises(BackboneUnavailableError, match=rf"garbage\.{ending} does not hold"):
        load_backbone(str(tiny.config), str(file), device="cpu")


@pytest.mark.parametrize(
    "content",
    [{}, [torch.zeros(2)], torch.zeros(2), {"state_dict": None}, {"visual.proj": "text"}, {1: 2}],
    ids=["nothing", "list", "tensor", "wrapped nothing", "text", "numbers"],
)
def test_a_saved_object_that_is_no_state_dict_is_told(tmp_path, tiny, content):
    file = tmp_path / "object.pt"
    torch.save(content, file)
    with pytest.raises(BackboneUnavailableError, match=r"object\.pt does not hold"):
        load_backbone(str(tiny.config), str(file), device="cpu")


def test_a_truncated_file_is_told(tmp_path, tiny):
    whole = tiny.weights.read_bytes()
    for share in (0.1, 0.5, 0.99):
        file = tmp_path / "part.safetensors"
        file.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(BackboneUnavailableError, match="does not hold"):
            load_backbone(str(tiny.config), str(file), device="cpu")


def test_a_config_that_is_no_config_is_told(tmp_path, tiny):
    config = tmp_path / "broken.json"
    config.write_text(json.dumps({"embed_dim": 32}))
    with pytest.raises(DetectorError, match=r"broken\.json is no open_clip config"):
        load_backbone(str(config), str(tiny.weights), device="cpu")


def put_in_repository(folder: Path, repository: str, files: dict[str, bytes]) -> None:
    home = folder / f"models--{repository.replace('/', '--')}"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text(COMMIT)
    place = home / "snapshots" / COMMIT
    place.mkdir(parents=True)
    for name, content in files.items():
        (place / name).write_bytes(content)


def test_a_repository_on_the_hub_is_read_with_its_own_config(tmp_path, tiny):
    halves = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
    config = {"model_cfg": json.loads(tiny.config.read_text()), "preprocess_cfg": halves}
    files = {
        "open_clip_config.json": json.dumps(config).encode(),
        "open_clip_model.safetensors": tiny.weights.read_bytes(),
    }
    put_in_repository(tmp_path, "some/tiny-clip", files)
    loaded = load_backbone("hf-hub:some/tiny-clip", device="cpu", cache_dir=tmp_path)
    assert loaded.name == "some/tiny-clip"
    assert loaded._mean.unique().tolist() == [0.5]
    with pytest.raises(DetectorError, match="weights of its own and no tag 'dfn2b'"):
        load_backbone("hf-hub:some/tiny-clip", "dfn2b", device="cpu", cache_dir=tmp_path)


def test_a_repository_that_is_not_there_names_it_and_the_nearest_model(tmp_path):
    with pytest.raises(BackboneUnavailableError, match=r"HF_HUB_OFFLINE.*nearest accepted"):
        load_backbone("hf-hub:some/one", device="cpu", cache_dir=tmp_path)
    with pytest.raises(BackboneUnavailableError, match="organisation/repository"):
        load_backbone("hf-hub:nonsense", device="cpu", cache_dir=tmp_path)


def test_a_repository_without_a_config_says_which_file_it_lacks(tmp_path, hub):
    with pytest.raises(BackboneUnavailableError, match=r"some/one has no open_clip_config\.json"):
        load_backbone("hf-hub:some/one", device="cpu", cache_dir=tmp_path)


def test_a_cache_that_cannot_be_written_is_told(tmp_path, hub):
    (tmp_path / "cache").write_text("a file, not a folder")
    with pytest.raises(BackboneUnavailableError, match=r"cache can't be written"):
        find(tmp_path / "cache")


def test_a_disk_without_room_is_told(tmp_path, hub):
    """A limit on file sizes stands for the full disk: the same call fails in the same place."""
    hub.content = b"x" * 4_000_000
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, before[1]))
    try:
        with pytest.raises(BackboneUnavailableError, match=r"disk of the cache folder .* is full"):
            find(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "is full"),
        (errno.EDQUOT, "is full"),
        (errno.EROFS, "can't be written"),
        (errno.EACCES, "can't be written"),
        (errno.ECONNRESET, ""),
    ],
)
def test_faults_of_this_machine_are_told_from_those_of_the_network(tmp_path, number, said):
    found = _local_fault(OSError(number, os.strerror(number)), tmp_path)
    assert (said in found) if said else not found
