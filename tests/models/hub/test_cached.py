"""What is in the Hub's cache: each kind of repository is known by its files, and no damage is an error."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import snapshot_download
from safetensors.numpy import save

from sdrt.models.hub.cached import CachedModel, cached_models
from sdrt.models.hub.kinds import RepositoryKind, find_kind
from tests.hub_repository import apple_files, nano_files
from tests.hub_server import HubServer
from tests.models.families import UNETS, Family


def tensors(*names: str, shape: tuple[int, ...] = (2, 3)) -> bytes:
    return save({name: np.zeros(shape, np.float32) for name in names})


def write(folder: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def diffusers(kind: str, unet: Mapping[str, Any], encoders: tuple[str, ...] = ("text_encoder",)) -> dict[str, bytes]:
    """The small files of a model in diffusers' layout."""
    files = {"model_index.json": json.dumps({"_class_name": kind}).encode(), "unet/config.json": json.dumps(dict(unet)).encode()}
    return files | {f"{encoder}/config.json": b"{}" for encoder in encoders}


CHECKPOINT = "model.diffusion_model.input_blocks.0.0.weight"
SD1, SD2 = "cond_stage_model.transformer.x", "cond_stage_model.model.x"
XL, REFINER = ("conditioner.embedders.0.transformer.x", "conditioner.embedders.1.model.x"), ("conditioner.embedders.0.model.x",)

KINDS: dict[str, tuple[dict[str, bytes], RepositoryKind]] = {
    "controlnet": ({"config.json": b'{"_class_name": "ControlNetModel"}'}, RepositoryKind("ControlNet")),
    "vae": (
        {"config.json": b'{"_class_name": "AutoencoderKL"}', "diffusion_pytorch_model.fp16.safetensors": b""},
        RepositoryKind("VAE", ("fp16",)),
    ),
    "text encoder": ({"config.json": b'{"architectures": ["CLIPTextModel"]}'}, RepositoryKind("text encoder")),
    "a language model": ({"config.json": b'{"architectures": ["LlamaForCausalLM"]}'}, RepositoryKind("other")),
    "sd1 file": ({"v1-5.safetensors": tensors(CHECKPOINT, SD1)}, RepositoryKind("single file, Stable Diffusion 1.x")),
    "sd2 file": ({"768-v.safetensors": tensors(CHECKPOINT, SD2)}, RepositoryKind("single file, Stable Diffusion 2.x")),
    "xl file": ({"xl.safetensors": tensors(CHECKPOINT, *XL)}, RepositoryKind("single file, Stable Diffusion XL")),
    "refiner file": ({"r.safetensors": tensors(CHECKPOINT, *REFINER)}, RepositoryKind("single file, Stable Diffusion XL's refiner")),
    "in-painting file": (
        {"inpaint.safetensors": tensors(CHECKPOINT, SD1, shape=(4, 9))},
        RepositoryKind("single file, Stable Diffusion 1.x, in-painting"),
    ),
    "kohya's lora": ({"style.safetensors": tensors("lora_unet_mid_block_attentions_0_proj_in.lora_down.weight")}, RepositoryKind("LoRA")),
    "diffusers' lora": (
        {"pytorch_lora_weights.safetensors": tensors("unet.mid_block.attentions.0.proj_in.lora_A.weight")},
        RepositoryKind("LoRA"),
    ),
    "embedding": ({"learned_embeds.safetensors": tensors("<cat>")}, RepositoryKind("embedding")),
    "embedding of XL": ({"cat.safetensors": tensors("clip_l", "clip_g")}, RepositoryKind("embedding")),
    "controlnet file": (
        {"canny.safetensors": tensors("control_model.zero_convs.0.0.weight", "control_model.x")},
        RepositoryKind("ControlNet"),
    ),
    "vae file": ({"vae.safetensors": tensors("decoder.conv_in.weight", "encoder.conv_in.weight")}, RepositoryKind("VAE")),
    "several files": (
        {"a.safetensors": tensors("<cat>"), "b.safetensors": tensors("lora_unet_mid_block_attentions_0_proj_in.lora_down.weight")},
        RepositoryKind("embedding and LoRA"),
    ),
    "pickle": ({"v1-4.ckpt": b"PK"}, RepositoryKind("pickled weights")),
    "packages": (
        {
            "original/packages/Stable_Diffusion_version_x_unet.mlpackage/Manifest.json": b"{}",
            "unet.mlmodelc/model.mil": b"",
            "README.md": b"",
        },
        RepositoryKind("Core ML packages", ("original/packages",)),
    ),
    "flux": (diffusers("FluxPipeline", {}), RepositoryKind("other: FluxPipeline")),
    "sd3": (diffusers("StableDiffusion3Pipeline", {}), RepositoryKind("other: StableDiffusion3Pipeline")),
    "text": ({"README.md": b"# words"}, RepositoryKind("other")),
    "nothing": ({}, RepositoryKind("other")),
}


@pytest.mark.parametrize("name", list(KINDS))
def test_each_kind_is_known(name: str, tmp_path: Path) -> None:
    files, kind = KINDS[name]
    assert find_kind(write(tmp_path, files)) == kind


@pytest.mark.parametrize(
    ("family", "words"),
    [
        ("sd1", "Stable Diffusion 1.x"),
        ("inpaint", "Stable Diffusion 1.x, in-painting"),
        ("sd2", "Stable Diffusion 2.x"),
        ("sdxl", "Stable Diffusion XL"),
        ("refiner", "Stable Diffusion XL's refiner"),
    ],
)
def test_published_models_are_known_by_their_configurations(family: Family, words: str, tmp_path: Path) -> None:
    encoders = {"sdxl": ("text_encoder", "text_encoder_2"), "refiner": ("text_encoder_2",)}.get(family, ("text_encoder",))
    kind = "StableDiffusionXLPipeline" if family in ("sdxl", "refiner") else "StableDiffusionPipeline"
    assert find_kind(write(tmp_path, diffusers(kind, UNETS[family], encoders))) == RepositoryKind(words)


def header(content: object) -> bytes:
    text = json.dumps(content).encode()
    return len(text).to_bytes(8, "little") + text


DAMAGE = {
    "half a header": b"\xff\0\0\0\0\0\0\0{",
    "an absurd header": b"\xff" * 8 + b"{}",
    "an empty file": b"",
    "a list": header([]),
    "nesting": (100_000).to_bytes(8, "little") + b"[" * 100_000,
    "numbers for tensors": header({"a": 1}),
    "a pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
}


@pytest.mark.parametrize("content", DAMAGE.values(), ids=DAMAGE)
def test_damaged_weights_are_no_error(content: bytes, tmp_path: Path) -> None:
    assert find_kind(write(tmp_path, {"model.safetensors": content})) == RepositoryKind("damaged file")


@pytest.mark.parametrize("shape", [[], [9], "no", [4, None]])
def test_strange_shapes_are_no_error(shape: object, tmp_path: Path) -> None:
    content = header({CHECKPOINT: {"shape": shape}, SD1: {"shape": []}})
    assert find_kind(write(tmp_path, {"model.safetensors": content})) == RepositoryKind("single file, Stable Diffusion 1.x")


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff", b'{"_class_name": 3, "architectures": 4}', b"[" * 10_000])
@pytest.mark.parametrize("name", ["config.json", "model_index.json", "unet/config.json"])
def test_damaged_configurations_are_no_error(name: str, content: bytes, tmp_path: Path) -> None:
    assert isinstance(find_kind(write(tmp_path, {name: content})).words, str)


def only(models: tuple[CachedModel, ...]) -> CachedModel:
    assert len(models) == 1
    return models[0]


def test_what_the_client_fetched_is_listed(hub: HubServer, tmp_path: Path) -> None:
    repository = hub.add("someone/nano", nano_files())
    repository.tags["v1.0"] = repository.tip
    for revision in ("main", "v1.0"):
        snapshot_download("someone/nano", endpoint=hub.url, revision=revision)
    model = only(cached_models(tmp_path / "hub-cache"))
    assert (model.repo_id, model.commit, model.revisions) == ("someone/nano", repository.tip, ("main", "v1.0"))
    assert model.kind == "Stable Diffusion"
    assert model.size_bytes == sum(len(content) for content in nano_files().values() if isinstance(content, bytes))
    assert model.path == tmp_path / "hub-cache" / "models--someone--nano" / "snapshots" / repository.tip


def test_commits_are_rows_of_their_own(hub: HubServer, tmp_path: Path) -> None:
    repository = hub.add("apple/tiny", apple_files())
    old = Path(snapshot_download("apple/tiny", endpoint=hub.url, allow_patterns="original/packages/*"))
    new = repository.commit(apple_files(attentions=("split_einsum",)))
    snapshot_download("apple/tiny", endpoint=hub.url)
    found = {model.commit: (model.revisions, model.variants) for model in cached_models(tmp_path / "hub-cache")}
    assert found == {old.name: ((), ("original/packages",)), new: (("main",), ("split_einsum/compiled", "split_einsum/packages"))}


def test_interrupted_downloads_are_listed(tmp_path: Path) -> None:
    blobs = tmp_path / "models--someone--big" / "blobs"
    write(blobs, {"abc.incomplete": b"12345", "abc.lock": b""})
    model = only(cached_models(tmp_path))
    assert (model.repo_id, model.kind, model.size_bytes, model.commit) == ("someone/big", "unfinished download", 5, "")


def test_a_listing_is_no_use_of_a_model(tmp_path: Path) -> None:
    """The time of the last reading stays, though headers are read."""
    snapshot = tmp_path / "models--someone--lora" / "snapshots" / ("0" * 40)
    file = write(snapshot, {"a.safetensors": tensors("<cat>")}) / "a.safetensors"
    os.utime(file, (1_000_000_000, 1_000_000_000))
    for _ in range(2):
        model = only(cached_models(tmp_path))
        assert model.kind == "embedding"
        assert model.last_used == 1_000_000_000


def test_other_kinds_of_repositories_and_strange_folders_are_left_out(tmp_path: Path) -> None:
    for name in ("datasets--someone--data", "spaces--someone--app", ".locks", "version.txt", "models--someone--empty"):
        (tmp_path / name).mkdir()
    (tmp_path / "models--a-file").write_text("")
    assert cached_models(tmp_path) == ()
    assert cached_models(tmp_path / "nowhere") == ()
    assert cached_models(tmp_path / "models--a-file") == ()


def test_broken_links_and_refs_are_no_error(tmp_path: Path) -> None:
    repository = tmp_path / "models--someone--broken"
    snapshot = repository / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").symlink_to("../../blobs/gone")
    (snapshot / "config.json").symlink_to("config.json")
    write(repository / "refs", {"main": b"\xff\xfe", "refs/pr/1": b"0" * 40 + b"\n"})
    model = only(cached_models(tmp_path))
    assert (model.revisions, model.kind, model.size_bytes, model.last_used) == (("refs/pr/1",), "other", 0, None)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser reads everything")
def test_what_may_not_be_read_is_no_error(tmp_path: Path) -> None:
    snapshot = tmp_path / "models--someone--closed" / "snapshots" / ("0" * 40)
    file = write(snapshot, {"a.safetensors": tensors("<cat>")}) / "a.safetensors"
    file.chmod(0)
    assert only(cached_models(tmp_path)).kind == "damaged file"
