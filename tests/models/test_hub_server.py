"""The tests' own Hub beside what the real client expects of one: whoever relies on it must know that it is no easier than the real one."""

from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import HfApi, constants, file_download, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from tests.hub_repository import StoredFile, apple_files, folder_files, lfs_pointer, nano_files
from tests.hub_server import HubServer

CONTENT = bytes(range(256)) * 1000
BOB = "hf_bob"
FILES = {"config.json": b"{}", "weights/model.safetensors": CONTENT}


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the client would have waited between its tries."""
    waited: list[float] = []
    monkeypatch.setattr("time.sleep", waited.append)
    return waited


def get(
    hub: HubServer,
    name: str = "weights/model.safetensors",
    repo_id: str = "someone/tiny",
    revision: str | None = None,
    token: str | None = None,
) -> bytes:
    return Path(hf_hub_download(repo_id, name, endpoint=hub.url, revision=revision, token=token)).read_bytes()


def test_a_snapshot_is_the_repository(hub: HubServer) -> None:
    hub.add("someone/nano", nano_files())
    folder = Path(snapshot_download("someone/nano", endpoint=hub.url))
    assert folder_files(folder) == nano_files()
    assert folder.name == hub.store.repositories["models/someone/nano"].tip


def test_apples_repository_is_fetched_by_patterns(hub: HubServer) -> None:
    hub.add("apple/tiny", apple_files())
    folder = Path(snapshot_download("apple/tiny", endpoint=hub.url, allow_patterns="original/packages/*"))
    wanted = {name: data for name, data in apple_files().items() if name.startswith("original/packages/")}
    assert folder_files(folder) == wanted
    assert len(wanted) == 12


def test_a_token_goes_to_the_hub_and_never_to_the_store(hub: HubServer) -> None:
    hub.add("someone/tiny", FILES, private=True, readers=frozenset({"ann"}))
    assert get(hub, token=hub.add_user("ann", "hf_secret")) == CONTENT
    stored = [each for each in hub.requests if each.host == "store"]
    assert [each.status for each in stored] == [200]
    assert all("authorization" not in each.headers for each in stored)
    assert all(each.headers["authorization"] == "Bearer hf_secret" for each in hub.requests if each.host == "hub")


@pytest.mark.parametrize("name", list(FILES))
def test_hashes_are_those_of_git_and_lfs(hub: HubServer, name: str) -> None:
    hub.add("someone/tiny", FILES)
    info = HfApi(endpoint=hub.url).model_info("someone/tiny", files_metadata=True)
    sibling = next(each for each in info.siblings or [] if each.rfilename == name)
    metadata = file_download.get_hf_file_metadata(file_download.hf_hub_url("someone/tiny", name, endpoint=hub.url))
    assert metadata.etag == (sibling.lfs.sha256 if sibling.lfs else sibling.blob_id)
    assert metadata.size == sibling.size == len(FILES[name])
    assert (sibling.lfs is not None) == name.endswith(".safetensors")
    # git hash-object of "{}"
    assert sibling.lfs or sibling.blob_id == "9e26dfeeb6e641a33dae4961196235bdb965b21b"


def test_a_tree_has_pages(hub: HubServer) -> None:
    names = [f"folder{i % 3}/{i:03}.txt" for i in range(50)]
    hub.add("someone/many", {name: name.encode() for name in names})
    hub.store.page_size = 7
    listed = HfApi(endpoint=hub.url).list_repo_tree("someone/many", recursive=True)
    assert sorted(each.path for each in listed) == sorted([*names, "folder0", "folder1", "folder2"])
    assert len([each for each in hub.requests if "/tree/" in each.path]) == 8
    below = HfApi(endpoint=hub.url).list_repo_tree("someone/many", path_in_repo="folder1")
    assert sorted(each.path for each in below) == sorted(name for name in names if name.startswith("folder1/"))


def test_branches_tags_and_commits_are_kept(hub: HubServer) -> None:
    repository = hub.add("someone/tiny", {"a.txt": b"first"})
    first = repository.tip
    repository.tags["v1"] = first
    repository.commit({"a.txt": b"second"})
    repository.commit({"a.txt": b"of the branch"}, branch="fp16")
    found = {revision: get(hub, "a.txt", revision=revision) for revision in ("main", "v1", "fp16", first)}
    assert found == {"main": b"second", "v1": b"first", "fp16": b"of the branch", first: b"first"}
    assert {each.name for each in HfApi(endpoint=hub.url).list_repo_refs("someone/tiny").branches} == {"main", "fp16"}


def test_renamed_repositories_are_found(hub: HubServer) -> None:
    hub.add("someone/new", FILES)
    hub.rename("someone/old", "someone/new")
    assert get(hub, "config.json", repo_id="someone/old") == b"{}"
    assert HfApi(endpoint=hub.url).model_info("someone/old").id == "someone/new"


@pytest.mark.parametrize(
    ("error", "ask"),
    [
        (RepositoryNotFoundError, lambda hub: get(hub, repo_id="someone/else")),
        (RepositoryNotFoundError, lambda hub: get(hub, repo_id="someone/private")),
        (RepositoryNotFoundError, lambda hub: get(hub, repo_id="someone/private", token=BOB)),
        (RepositoryNotFoundError, lambda hub: HfApi(endpoint=hub.url).model_info("someone/data")),
        (RevisionNotFoundError, lambda hub: get(hub, revision="v2")),
        (RevisionNotFoundError, lambda hub: HfApi(endpoint=hub.url).model_info("someone/tiny", revision="v2")),
        (RemoteEntryNotFoundError, lambda hub: get(hub, "no.txt")),
        (GatedRepoError, lambda hub: get(hub, repo_id="someone/gated")),
        (GatedRepoError, lambda hub: get(hub, repo_id="someone/gated", token=BOB)),
        (HfHubHTTPError, lambda hub: get(hub, token="hf_" + "0" * 34)),
    ],
)
def test_refusals_are_those_that_the_client_knows(hub: HubServer, error: type[Exception], ask: Callable[[HubServer], object]) -> None:
    hub.add("someone/tiny", FILES)
    hub.add("someone/private", FILES, private=True)
    hub.add("someone/gated", FILES, gated=True)
    hub.add("someone/data", FILES, kind="datasets")
    hub.add_user("bob", BOB)
    with pytest.raises(error):
        ask(hub)


def test_what_is_cut_off_is_resumed_by_the_client(hub: HubServer, waits: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    """By whole pieces, which are 10 MiB unless a test makes them smaller: an incomplete one is fetched again."""
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 10_000)
    hub.add("someone/tiny", FILES)
    hub.disturb("^/repos/", cut_after=100_000, times=1)
    assert get(hub) == CONTENT
    assert [(each.range_start, each.sent) for each in hub.contents()] == [(0, 100_000), (100_000, 156_000)]


def test_a_busy_hub_says_how_long_to_wait(hub: HubServer, waits: list[float]) -> None:
    hub.add("someone/tiny", FILES)
    hub.disturb("/api/.*/tree/", status=429, headers={"Retry-After": "7"}, times=1)
    snapshot_download("someone/tiny", endpoint=hub.url)
    assert waits == [8.0]


def test_a_disturbed_hub_is_an_error_of_the_client(hub: HubServer, waits: list[float]) -> None:
    hub.add("someone/tiny", FILES)
    hub.disturb("/resolve/", status=503)
    with pytest.raises(LocalEntryNotFoundError):
        get(hub)
    hub.calm()
    hub.disturb("/repos/", cut_after=-1)
    with pytest.raises(Exception, match="disconnected"):
        get(hub)
    hub.calm()
    assert get(hub) == CONTENT


def test_wrong_bytes_and_pointers_are_sent_as_if_they_were_right(hub: HubServer) -> None:
    hub.add("someone/tiny", FILES | {"model.bin": StoredFile(lfs_pointer(CONTENT), lfs=False)})
    hub.disturb("/repos/", flips=True)
    assert get(hub) == bytes(255 - each for each in CONTENT)
    assert get(hub, "model.bin").startswith(b"version https://git-lfs")
