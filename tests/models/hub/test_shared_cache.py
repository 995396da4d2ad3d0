"""The cache is everybody's: what sdrt fetches, diffusers and the client find without a network, and the other way round."""

import threading
from pathlib import Path

import pytest
from diffusers import StableDiffusionPipeline
from huggingface_hub import constants, scan_cache_dir, snapshot_download, try_to_load_from_cache

import sdrt
from sdrt.models import open_model
from sdrt.models.hub.hub_file import HubFile
from sdrt.models.hub.repository_cache import RepositoryCache
from tests.hub_repository import Files
from tests.hub_server import HubServer


def test_the_client_finds_what_sdrt_fetched(hub: HubServer, tiny_files: Files, tmp_path: Path) -> None:
    tip = hub.add("someone/tiny", tiny_files).tip
    place, cache = open_model("someone/tiny").path, tmp_path / "hub-cache"
    before = len(hub.requests)
    found = scan_cache_dir(cache)
    (repository,) = found.repos
    assert (repository.repo_id, repository.refs["main"].commit_hash, found.warnings) == ("someone/tiny", tip, [])
    assert try_to_load_from_cache("someone/tiny", "unet/config.json", cache) == str(place / "unet" / "config.json")
    assert snapshot_download("someone/tiny", cache_dir=cache, local_files_only=True) == str(place)
    assert len(hub.requests) == before


def test_diffusers_loads_what_sdrt_fetched(hub: HubServer, tiny_files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add("someone/tiny", tiny_files)
    with sdrt.load("someone/tiny") as pipe:
        width = pipe.model.config("unet")["cross_attention_dim"]
    before = len(hub.requests)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    peer = StableDiffusionPipeline.from_pretrained("someone/tiny", cache_dir=tmp_path / "hub-cache", safety_checker=None)
    assert peer.unet.config.cross_attention_dim == width
    assert len(hub.requests) == before


@pytest.mark.parametrize("patterns", [None, ["*.json", "*.txt", "*.safetensors"]])
def test_sdrt_loads_what_the_client_fetched(
    hub: HubServer, tiny_files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patterns: list[str] | None
) -> None:
    tip = hub.add("someone/tiny", tiny_files).tip
    snapshot_download("someone/tiny", endpoint=hub.url, cache_dir=tmp_path / "hub-cache", allow_patterns=patterns)
    before = len(hub.requests)
    # online, the branch is asked for, and nothing is fetched
    assert open_model("someone/tiny").path.name == tip
    assert len(hub.requests) == before + 1
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with sdrt.load("someone/tiny", safety_checker=True) as pipe:
        assert pipe.generate("a cat", num_inference_steps=1, height=64, width=64).images
    assert len(hub.requests) == before + 1


def test_a_file_that_is_there_stays_there_while_others_put_it_there(tmp_path: Path) -> None:
    cache, file, commit = RepositoryCache(tmp_path, "someone/thing"), HubFile("unet/config.json", 2, blob_id="a" * 40), "0" * 40
    cache.blob(file).parent.mkdir(parents=True)
    cache.blob(file).write_bytes(b"{}")
    cache.place(commit, file)
    ended = threading.Event()
    missed = []

    def look() -> None:
        while not ended.is_set():
            missed.append(not cache.holds(commit, file))

    def put() -> None:
        for _ in range(200):
            cache.place(commit, file)

    reader = threading.Thread(target=look)
    reader.start()
    others = [threading.Thread(target=put) for _ in range(2)]
    for thread in others:
        thread.start()
    for thread in others:
        thread.join()
    ended.set()
    reader.join()
    assert not any(missed)
    assert (cache.snapshot(commit) / file.path).is_symlink()
    assert [entry.name for entry in (cache.snapshot(commit) / "unet").iterdir()] == ["config.json"]
