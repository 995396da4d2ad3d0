"""What is fetched for a model or a component: the small files, and one set of weights for each; afterwards nothing is asked."""

import errno
import json
from pathlib import Path

import pytest

from sdrt.errors import MissingFileError, ModelError
from sdrt.models import HubAccess, Needs, open_component, open_model
from sdrt.models.hub import DownloadProgress
from tests.hub_repository import Files, StoredFile
from tests.hub_server import HubServer

PLAIN = {
    "text_encoder/model.safetensors",
    "unet/diffusion_pytorch_model.safetensors",
    "vae/diffusion_pytorch_model.safetensors",
    "safety_checker/model.safetensors",
}
WEIGHTS = (".safetensors", ".bin", ".onnx", ".msgpack", ".h5", ".png", ".md")


def fetched(hub: HubServer) -> set[str]:
    """What was asked for of weights, and of what nobody needs."""
    paths = (each.path.partition("/resolve/")[2].partition("/")[2] for each in hub.requests)
    return {path for path in paths if path.endswith(WEIGHTS)}


def test_plain_weights_alone_are_fetched(hub: HubServer, tiny_files: Files) -> None:
    hub.add("someone/tiny", tiny_files)
    model = open_model("someone/tiny")
    assert fetched(hub) == PLAIN
    assert all(model.tensors(component) for component in model.components)
    assert (model.path / "tokenizer" / "merges.txt").is_file()
    assert model.name == "someone/tiny"


def test_a_variant_is_fetched_where_there_is_one(hub: HubServer, tiny_files: Files) -> None:
    hub.add("someone/tiny", tiny_files)
    model = open_model("someone/tiny", variant="fp16")
    assert fetched(hub) == {
        "text_encoder/model.fp16.safetensors",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
        "safety_checker/model.safetensors",
    }
    assert all(model.tensors(component) for component in model.components)


def test_a_variant_that_is_not_there_is_told_before_anything_is_fetched(hub: HubServer, tiny_files: Files) -> None:
    hub.add("someone/tiny", tiny_files)
    with pytest.raises(
        MissingFileError, match=r"no component has weights of variant 'fp8' \(found: fp16 \(\d.* MB\), non_ema \(\d.* MB\)\)"
    ):
        open_model("someone/tiny", variant="fp8")
    assert len(hub.requests) == 1


@pytest.mark.parametrize("infix", ["", ".fp16"])
def test_shards_are_fetched_by_their_names(hub: HubServer, tiny_files: Files, infix: str) -> None:
    stem = "unet/diffusion_pytorch_model"
    shard = f"{stem}-00001-of-00001{infix}.safetensors"
    index = json.dumps({"weight_map": {"conv_in.weight": shard.removeprefix("unet/")}}).encode()
    files = {name: data for name, data in tiny_files.items() if not name.startswith(stem)}
    hub.add("someone/tiny", files | {shard: tiny_files[f"{stem}.safetensors"], f"{stem}.safetensors.index{infix}.json": index})
    open_model("someone/tiny", variant=infix.strip(".") or None)
    assert [name for name in fetched(hub) if name.startswith("unet/")] == [shard]


def test_pickles_are_fetched_where_nothing_else_is_and_they_are_welcome(hub: HubServer, tiny_files: Files) -> None:
    hub.add("someone/tiny", {name: data for name, data in tiny_files.items() if not name.startswith("unet/") or "safetensors" not in name})
    with pytest.raises(MissingFileError, match=r"unet has no safetensors, and diffusion_pytorch_model.bin would have to be unpickled"):
        open_model("someone/tiny")
    assert not fetched(hub)
    open_model("someone/tiny", pickled="weights_only")
    assert fetched(hub) == PLAIN - {"unet/diffusion_pytorch_model.safetensors"} | {"unet/diffusion_pytorch_model.bin"}


def test_what_is_not_needed_is_left_out(hub: HubServer, tiny_files: Files) -> None:
    hub.add("someone/tiny", tiny_files)
    model = open_model("someone/tiny", needs=Needs(without=frozenset({"safety_checker", "vae_decoder", "vae_encoder"})))
    assert fetched(hub) == {"text_encoder/model.safetensors", "unet/diffusion_pytorch_model.safetensors"}
    assert model.config("vae_decoder")["latent_channels"] == 4


def test_a_repository_of_one_component_is_fetched(hub: HubServer, tiny_files: Files) -> None:
    hub.add("someone/vae", {name.removeprefix("vae/"): data for name, data in tiny_files.items() if name.startswith("vae/")})
    opened = open_component("someone/vae", "vae_decoder", variant="fp16")
    assert {each.content for each in hub.contents()} == {"config.json", "diffusion_pytorch_model.safetensors"}
    assert opened.name == "someone/vae"
    assert "decoder.conv_in.weight" in opened.tensors("vae_decoder")


def test_of_a_whole_model_one_component_is_fetched(hub: HubServer, tiny_files: Files) -> None:
    hub.add("someone/tiny", tiny_files)
    assert "decoder.conv_in.weight" in open_component("someone/tiny", "vae_decoder").tensors("vae_decoder")
    assert {each.content for each in hub.contents()} == {"vae/config.json", "vae/diffusion_pytorch_model.safetensors"}


def test_one_file_is_fetched_by_its_path(hub: HubServer, checkpoint: Path) -> None:
    files = {"v1/pruned.safetensors": checkpoint.read_bytes(), "other.safetensors": b"not needed", "config.json": b"{}"}
    tip = hub.add("someone/checkpoints", files).tip
    model = open_model("someone/checkpoints@main::v1/pruned.safetensors")
    assert fetched(hub) == {"v1/pruned.safetensors"}
    assert model.name == "someone/checkpoints::v1/pruned.safetensors"
    assert model.tensors("unet")
    assert model.path.parent.parent.name == tip
    with pytest.raises(MissingFileError, match=r"has no file x\.safetensors; .*someone/checkpoints::v1/pruned\.safetensors \(\d.*B\)"):
        open_model("someone/checkpoints::x.safetensors")


def test_of_several_checkpoints_one_must_be_named(hub: HubServer, checkpoint: Path) -> None:
    data = checkpoint.read_bytes()
    hub.add("someone/checkpoints", {"a.safetensors": data, "b.safetensors": b"b"})
    hub.add("someone/checkpoint", {"a.safetensors": data, "README.md": b"hello"})
    with pytest.raises(ModelError, match=r"several files .* a checkpoint; name one: someone/checkpoints::a.safetensors \(.*\), someone/ch"):
        open_model("someone/checkpoints")
    assert open_model("someone/checkpoint").tensors("unet")


def test_repositories_are_kept_where_one_says(hub: HubServer, tiny_files: Files, tmp_path: Path) -> None:
    tip = hub.add("someone/tiny", tiny_files).tip
    opened = open_model("someone/tiny", hub=HubAccess(cache_dir=tmp_path / "elsewhere"))
    assert opened.path == tmp_path / "elsewhere" / "models--someone--tiny" / "snapshots" / tip


def test_a_revision_is_a_branch_a_tag_or_a_commit(hub: HubServer, tiny_files: Files) -> None:
    repository = hub.add("someone/tiny", tiny_files)
    first = repository.tip
    repository.tags["v1"] = first
    second = repository.commit({**tiny_files, "sdrt.json": b'{"num_inference_steps": 3}'})
    assert open_model("someone/tiny").path.name == second
    for revision in ("v1", first):
        assert open_model(f"someone/tiny@{revision}").path.name == first
        model = open_model("someone/tiny", hub=HubAccess(revision=revision))
        assert (model.path.name, model.name) == (first, "someone/tiny")
    with pytest.raises(MissingFileError, match=r"^someone/tiny: has no revision 'v9'; name a branch, a tag or a commit$"):
        open_model("someone/tiny@v9")


def test_the_size_is_told_first_and_progress_ends_at_it(hub: HubServer, tiny_files: Files, caplog: pytest.LogCaptureFixture) -> None:
    hub.add("someone/tiny", tiny_files)
    told: list[DownloadProgress] = []
    with caplog.at_level("INFO", "sdrt"):
        open_model("someone/tiny", hub=HubAccess(on_download=told.append))
    files = {each.content: each.sent for each in hub.contents()}
    assert (told[0].done_bytes, told[0].total_bytes) == (0, sum(files.values()))
    assert told[-1].done_bytes == told[-1].total_bytes
    done = [each.done_bytes for each in told]
    assert done == sorted(set(done))
    assert f"in {len(files)} files into" in caplog.text
    told.clear()
    open_model("someone/tiny", hub=HubAccess(on_download=told.append))
    assert told == []


def test_what_arrives_is_what_the_hub_lists(hub: HubServer, tiny_files: Files, tmp_path: Path) -> None:
    name = "unet/diffusion_pytorch_model.safetensors"
    hub.add("someone/tiny", {**tiny_files, name: StoredFile(bytes(1000), lfs=True, claimed_sha256="0" * 64)})
    with pytest.raises(ModelError, match=rf"^someone/tiny: {name}: what arrived is not what the Hub lists, by its hash; it was removed"):
        open_model("someone/tiny")
    assert not list(tmp_path.glob("hub-cache/*/blobs/000*"))


def test_afterwards_nothing_is_asked(hub: HubServer, tiny_files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    tip = hub.add("someone/tiny", tiny_files).tip
    open_model("someone/tiny")
    before = len(hub.requests)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name in ("someone/tiny", f"someone/tiny@{tip}"):
        model = open_model(name)
        assert all(model.tensors(component) for component in model.components)
    assert len(hub.requests) == before
    with pytest.raises(MissingFileError, match=r"the cache lacks text_encoder/model.fp16.safetensors, unet/.*fp16.*HF_HUB_OFFLINE"):
        open_model("someone/tiny", variant="fp16")
    with pytest.raises(MissingFileError, match=r"^someone/other: no such folder, nor in the Hub's cache, and HF_HUB_OFFLINE is set"):
        open_model("someone/other")


def test_a_disk_without_links_has_the_files_themselves(
    hub: HubServer, tiny_files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    hub.add("someone/tiny", tiny_files)
    model = open_model("someone/tiny")
    assert not [path for path in (tmp_path / "hub-cache").rglob("*") if path.is_symlink()]
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    before = len(hub.requests)
    model = open_model("someone/tiny")
    assert all(model.tensors(component) for component in model.components)
    assert len(hub.requests) == before


def test_a_new_commit_takes_what_has_not_changed_from_the_cache(hub: HubServer, tiny_files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = hub.add("someone/tiny", tiny_files)
    first = open_model("someone/tiny").path
    repository.commit({**tiny_files, "sdrt.json": b'{"num_inference_steps": 3}'})
    before = len(hub.contents())
    second = open_model("someone/tiny")
    assert [each.content for each in hub.contents()[before:]] == ["sdrt.json"]
    assert (second.path != first, second.defaults) == (True, {"num_inference_steps": 3})
    # an update that fails in its middle leaves the branch where it was
    repository.commit({**tiny_files, "unet/config.json": b'{"_class_name": "UNet2DConditionModel"}'})
    hub.disturb(r"/resolve/.*/unet/config\.json", status=500)
    with pytest.raises(MissingFileError, match="the Hub fails to answer"):
        open_model("someone/tiny")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert open_model("someone/tiny").path == second.path
