"""A repository as a folder of plain files: the same tree as Apple's helper makes, all of it or nothing, and resumed where it ended."""

import re
import shutil
import threading
from pathlib import Path

import pytest
from huggingface_hub import constants, snapshot_download
from huggingface_hub.file_download import repo_folder_name

import sdrt
from sdrt.errors import ConfigError, MissingFileError, ModelError, WeightsError
from sdrt.models.hub import Address, DownloadProgress, download, transfer
from sdrt.models.hub.folder_plan import folder_name
from tests.hub_repository import Files, apple_files, folder_files, nano_files
from tests.hub_server import HubServer

PACKAGES = "original/packages"
LARGE = bytes(range(256)) * 12_000  # 3 MB: fetched alone, and not with the small files


def apples_helper(repo_id: str, variant: str, output: Path, endpoint: str) -> Path:
    """What the README of Apple's ml-stable-diffusion does by its helper: snapshot into a cache of its own, copy the variant out, delete."""
    destination = output / "_".join([repo_id.rpartition("/")[2], *variant.split("/")])
    if destination.exists():
        raise FileExistsError(destination)
    snapshot = snapshot_download(repo_id, allow_patterns=f"{variant}/*", cache_dir=output, endpoint=endpoint)
    shutil.copytree(Path(snapshot, variant), destination)
    shutil.rmtree(output / repo_folder_name(repo_id=repo_id, repo_type="model"))
    return destination


def leftovers(folder: Path) -> list[str]:
    """What lies beside a new folder."""
    return sorted(entry.name for entry in folder.iterdir() if entry.name.startswith(".")) if folder.is_dir() else []


@pytest.mark.parametrize("variant", ["original/packages", "split_einsum/compiled", "original"])
def test_a_variant_is_the_tree_that_apples_helper_makes(hub: HubServer, tmp_path: Path, variant: str) -> None:
    hub.add("apple/coreml-stable-diffusion-v1-4", apple_files())
    theirs = apples_helper("apple/coreml-stable-diffusion-v1-4", variant, tmp_path / "theirs", hub.url)
    ours = download("apple/coreml-stable-diffusion-v1-4", tmp_path / "ours", variant=variant)
    assert ours.relative_to(tmp_path / "ours") == theirs.relative_to(tmp_path / "theirs")
    assert folder_files(ours) == folder_files(theirs)
    assert len(folder_files(ours)) >= 12
    assert not [path for path in ours.rglob("*") if path.is_symlink()]
    assert [entry.name for entry in (tmp_path / "ours").iterdir()] == [ours.name]


def test_packages_without_a_variant_are_one_folder_of_them(hub: HubServer, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    hub.add("apple/tiny", apple_files())
    folder = download("apple/tiny", tmp_path)
    assert folder == tmp_path / "tiny"
    assert folder_files(folder) == {name.removeprefix(f"{PACKAGES}/"): data for name, data in apple_files().items() if PACKAGES in name}
    assert "original/packages, of original/compiled (8.6 kB)" in caplog.text


def test_a_model_has_what_it_needs_and_no_more(hub: HubServer, tmp_path: Path, tiny_files: Files) -> None:
    hub.add("someone/tiny", tiny_files)
    folder = download("someone/tiny", tmp_path)
    weights = {path.relative_to(folder).as_posix() for path in folder.rglob("*.safetensors")}
    assert weights == {
        "text_encoder/model.safetensors",
        "unet/diffusion_pytorch_model.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
        "safety_checker/model.safetensors",
    }
    assert sdrt.load(folder).generate("a red circle", num_inference_steps=1).images[0].size
    half = download("someone/tiny", tmp_path, variant="fp16")
    assert half.name == "tiny_fp16"
    assert (half / "unet/diffusion_pytorch_model.fp16.safetensors").is_file()
    assert not (half / "unet/diffusion_pytorch_model.safetensors").exists()


def test_everything_is_the_whole_repository(hub: HubServer, tmp_path: Path, tiny_files: Files) -> None:
    hub.add("someone/tiny", tiny_files)
    assert folder_files(download("someone/tiny", tmp_path, everything=True)) == tiny_files


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        (
            {"config.json": b"{}", "model.safetensors": b"a", "model.fp16.safetensors": b"b", "README.md": b""},
            {"config.json", "model.safetensors"},
        ),
        ({"style.safetensors": b"a", "README.md": b"words", "sample.png": b""}, {"style.safetensors"}),
    ],
    ids=["component", "lora"],
)
def test_repositories_of_one_thing_are_that_thing(hub: HubServer, tmp_path: Path, files: tuple[str, ...], wanted: set[str]) -> None:
    hub.add("someone/thing", dict.fromkeys(files, b"{}"))
    assert folder_files(download("someone/thing", tmp_path)).keys() == wanted


def test_one_file_is_one_file(hub: HubServer, tmp_path: Path) -> None:
    hub.add("someone/loras", {"styles/ink.safetensors": LARGE, "styles/oil.safetensors": b"other"})
    assert download("someone/loras::styles/ink.safetensors", tmp_path / "new") == tmp_path / "new" / "ink.safetensors"
    assert (tmp_path / "new" / "ink.safetensors").read_bytes() == LARGE
    assert [entry.name for entry in (tmp_path / "new").iterdir()] == ["ink.safetensors"]
    assert len(hub.contents()) == 1


def test_a_revision_is_pinned(hub: HubServer, tmp_path: Path) -> None:
    repository = hub.add("someone/tiny", {"a.safetensors": b"old"})
    old = repository.tip
    repository.tags["v1"] = old
    repository.commit({"a.safetensors": b"new"})
    found = {
        name: (download(f"someone/tiny{name}", tmp_path / str(at)) / "a.safetensors").read_bytes()
        for at, name in enumerate(["", "@main", "@v1", f"@{old}"])
    }
    assert found == {"": b"new", "@main": b"new", "@v1": b"old", f"@{old}": b"old"}
    assert (download("someone/tiny", tmp_path / "by-argument", revision="v1") / "a.safetensors").read_bytes() == b"old"
    with pytest.raises(ConfigError, match=r"someone/tiny@v1: must have one revision, got @v1 and revision='main'"):
        download("someone/tiny@v1", tmp_path / "both", revision="main")


def test_the_size_is_told_before_the_first_byte(hub: HubServer, tmp_path: Path) -> None:
    hub.add("someone/tiny", {"a.safetensors": LARGE})
    told: list[DownloadProgress] = []

    def listen(progress: DownloadProgress) -> None:
        assert told or not hub.contents()
        told.append(progress)

    download("someone/tiny", tmp_path, on_download=listen)
    assert told[0] == DownloadProgress("someone/tiny", "a.safetensors", 0, len(LARGE))
    assert told[-1].done_bytes == len(LARGE)
    assert [each.done_bytes for each in told] == sorted({each.done_bytes for each in told})


def test_a_listener_cancels(hub: HubServer, tmp_path: Path) -> None:
    hub.add("someone/tiny", {"a.safetensors": LARGE})

    def refuse(progress: DownloadProgress) -> None:
        raise InterruptedError("no")

    with pytest.raises(InterruptedError, match=r"^no$"):
        download("someone/tiny", tmp_path, on_download=refuse)
    assert hub.contents() == []
    assert not (tmp_path / "tiny").exists()


def interrupted(hub: HubServer, output: Path) -> None:
    """Download LARGE in pieces of 100 kB, and press Ctrl-C behind the first megabyte, where the Hub stalls."""
    hub.disturb("^/repos/", stalls_after=1_000_000)

    def interrupt(progress: DownloadProgress) -> None:
        if progress.done_bytes >= 1_000_000:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 100_000)
        # the thread that waits for the Hub ends when it goes on
        patch.setattr(transfer, "_PATIENCE", 0.0)
        with pytest.raises(KeyboardInterrupt):
            download("someone/tiny", output, everything=True, on_download=interrupt)
    assert not (output / "tiny").exists()
    assert len(leftovers(output)) == 1
    hub.calm()
    hub.requests.clear()


def test_what_arrived_is_not_fetched_again(hub: HubServer, tmp_path: Path) -> None:
    hub.add("someone/tiny", {"a.safetensors": LARGE})
    interrupted(hub, tmp_path)
    told: list[int] = []
    folder = download("someone/tiny", tmp_path, everything=True, on_download=lambda progress: told.append(progress.done_bytes))
    assert folder_files(folder) == {"a.safetensors": LARGE}
    (start,) = [each.range_start for each in hub.contents()]
    assert start == 1_000_000
    assert (told[0], told[1], told[-1]) == (0, start, len(LARGE))
    assert leftovers(tmp_path) == []


def test_a_server_without_ranges_sends_the_whole(hub: HubServer, tmp_path: Path) -> None:
    hub.add("someone/tiny", {"a.safetensors": LARGE})
    interrupted(hub, tmp_path)
    hub.disturb("^/repos/", ignores_ranges=True)
    told: list[int] = []
    folder = download("someone/tiny", tmp_path, everything=True, on_download=lambda progress: told.append(progress.done_bytes))
    assert folder_files(folder) == {"a.safetensors": LARGE}
    assert [(each.status, each.sent) for each in hub.contents()] == [(200, len(LARGE))]
    assert told == sorted(told)


def test_a_damaged_partial_file_is_noticed(hub: HubServer, tmp_path: Path) -> None:
    """By the hash of all bytes, those of the call before among them."""
    hub.add("someone/tiny", {"a.safetensors": LARGE})
    interrupted(hub, tmp_path)
    (partial,) = tmp_path.glob(".*.part/arriving/*")
    partial.write_bytes(partial.read_bytes()[::-1])
    with pytest.raises(WeightsError, match=r"what arrived is not what the Hub lists, by its hash; it was removed, try again"):
        download("someone/tiny", tmp_path, everything=True)
    assert folder_files(download("someone/tiny", tmp_path, everything=True)) == {"a.safetensors": LARGE}


def test_another_commit_is_not_mixed_with_what_arrived(hub: HubServer, tmp_path: Path) -> None:
    repository = hub.add("someone/tiny", {"a.safetensors": LARGE})
    interrupted(hub, tmp_path)
    repository.commit({"a.safetensors": LARGE[::-1]})
    assert (download("someone/tiny", tmp_path) / "a.safetensors").read_bytes() == LARGE[::-1]


def test_nothing_is_overwritten(hub: HubServer, tmp_path: Path) -> None:
    hub.add("someone/tiny", {"a.safetensors": b"new", "b/a.safetensors": b"new"})
    (tmp_path / "tiny").mkdir()
    (tmp_path / "a.safetensors").write_bytes(b"mine")
    for name in ("someone/tiny", "someone/tiny::a.safetensors"):
        with pytest.raises(ConfigError, match=r"is there already; remove it or give it another name, or choose another output folder$"):
            download(name, tmp_path)
    assert (tmp_path / "a.safetensors").read_bytes() == b"mine"
    assert hub.requests == []


def test_files_of_the_cache_are_copied(hub: HubServer, tmp_path: Path) -> None:
    hub.add("someone/nano", nano_files())
    sdrt.load("someone/nano")
    hub.requests.clear()
    told: list[DownloadProgress] = []
    folder = download("someone/nano", tmp_path, on_download=told.append)
    assert (hub.contents(), told) == ([], [])
    assert len(folder_files(folder)) == 13
    assert not [path for path in folder.rglob("*") if path.is_symlink()]


def test_a_damaged_cache_is_fetched_anew(hub: HubServer, tmp_path: Path) -> None:
    hub.add("someone/lora", {"a.safetensors": LARGE})
    snapshot = Path(snapshot_download("someone/lora", endpoint=hub.url))
    (snapshot / "a.safetensors").resolve().write_bytes(LARGE[::-1])
    assert (download("someone/lora", tmp_path) / "a.safetensors").read_bytes() == LARGE


def test_the_cache_answers_offline(hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add("someone/nano", nano_files())
    sdrt.load("someone/nano")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert (download("someone/nano", tmp_path) / "model_index.json").is_file()
    with pytest.raises(
        MissingFileError, match=r"^someone/nano: the cache lacks .gitattributes, and HF_HUB_OFFLINE is set; download it when"
    ):
        download("someone/nano", tmp_path / "all", everything=True)


def test_two_downloads_of_one_folder_are_one(hub: HubServer, tmp_path: Path) -> None:
    hub.add("someone/tiny", {"a.safetensors": LARGE})
    inside, done = threading.Event(), threading.Event()

    def wait(progress: DownloadProgress) -> None:
        inside.set()
        assert done.wait(30)

    thread = threading.Thread(target=download, args=("someone/tiny", tmp_path), kwargs={"on_download": wait})
    thread.start()
    assert inside.wait(30)
    with pytest.raises(ConfigError, match=r"tiny: another process is downloading it; wait for that, or choose another output folder$"):
        download("someone/tiny", tmp_path)
    done.set()
    thread.join()
    assert folder_files(tmp_path / "tiny") == {"a.safetensors": LARGE}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"variant": "split_einsum/packages", "everything": True},
            r"variant 'split_einsum/packages' chooses some files, and everything \(--all\)",
        ),
        ({"variant": ""}, "variant must"),
        ({"variant": 3}, "variant must"),
        ({"pickled": "yes"}, "pickled must be 'refuse' or 'weights_only', got 'yes'"),
        ({"everything": "yes"}, "everything must"),
        ({"output": ""}, "output must be a path, got ''"),
        ({"repository": "nano"}, "nano is embedded in sdrt, and needs no download; pass its name wherever a model is asked for"),
        ({"repository": "nowhere"}, "repository must be owner/name, owner/name@revision or owner/name::file, got 'nowhere'"),
        ({"repository": "https://huggingface.co/apple/tiny/tree/main"}, "; pass apple/tiny$"),
        ({"repository": 3}, "got 3; copy the name from the model's page"),
        ({"repository": "apple/tiny::a.txt", "variant": "b"}, "apple/tiny::a.txt: names one file; leave out variant and everything"),
    ],
)
def test_mistakes_are_told_before_anything_is_asked(hub: HubServer, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        download(**{"repository": "apple/tiny", **arguments})  # type: ignore[arg-type]
    assert hub.requests == []


def test_a_variant_that_is_not_there_is_told_with_those_that_are(hub: HubServer, tmp_path: Path) -> None:
    hub.add("apple/tiny", apple_files())
    sizes = ", ".join(rf"{kind}/{form} \(\d+.\d kB\)" for kind in ("original", "split_einsum") for form in ("compiled", "packages"))
    with pytest.raises(MissingFileError, match=f"^apple/tiny: has no packages of variant 'split'; pass one of {sizes}$"):
        download("apple/tiny", tmp_path, variant="split")


def test_wrong_bytes_are_refused_and_removed(hub: HubServer, tmp_path: Path) -> None:
    hub.add("someone/tiny", {"a.safetensors": LARGE})
    hub.disturb("^/repos/", flips=True)
    with pytest.raises(
        WeightsError, match=r"^someone/tiny: a.safetensors: what arrived is not what the Hub lists, by its hash; it was removed"
    ):
        download("someone/tiny", tmp_path)
    assert not (tmp_path / "tiny").exists()
    hub.calm()
    assert (download("someone/tiny", tmp_path) / "a.safetensors").read_bytes() == LARGE


def test_an_empty_repository_is_told(hub: HubServer, tmp_path: Path) -> None:
    hub.add("someone/empty", {})
    with pytest.raises(ModelError, match=r"^someone/empty: the repository is empty; check its name and revision$"):
        download("someone/empty", tmp_path, everything=True)
    assert leftovers(tmp_path) == []


def test_names_of_folders() -> None:
    assert folder_name(Address("a/b", "v1"), None) == "b"
    assert folder_name(Address("a/b"), "/split_einsum/compiled/") == "b_split_einsum_compiled"
    assert re.fullmatch(r"[\w.-]+", folder_name(Address("a/b"), "../../c"))
