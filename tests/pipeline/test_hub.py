"""Pipelines from the Hub: each part is fetched alone, draws what the same files draw here, and needs no network afterwards."""

import hashlib
import json
import socket
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import save_file

import sdrt
from sdrt.errors import ConfigError, MissingFileError
from sdrt.models import HubAccess, path
from sdrt.records import Settings
from tests.factories import Form, save_pipeline_folder
from tests.hub_repository import apple_files, folder_files, nano_files
from tests.hub_server import HubServer

QUICK = {"seed": 3, "num_inference_steps": 2, "height": 64, "width": 64}
LORA = path("nano-outline")


def picture(pipe: sdrt.Pipeline, prompt: str = "a red circle", **options: object) -> str:
    """The hash of one picture's pixels."""
    with pipe:
        return digest(pipe.generate(prompt, **{**QUICK, **options}))  # type: ignore[arg-type]


def digest(result: sdrt.Result) -> str:
    return hashlib.sha256(result.images[0].tobytes()).hexdigest()


def weights(hub: HubServer) -> set[str]:
    """Which weights were asked for, by the name of the repository and the path in it."""
    asked = (each.path.partition("/resolve/") for each in hub.requests if "/resolve/" in each.path)
    found = {f"{repository.strip('/').rpartition('/')[2]}/{rest.partition('/')[2]}" for repository, _, rest in asked}
    return {each for each in found if each.endswith((".safetensors", ".bin", ".mlmodel", ".zip", ".png"))}


@pytest.fixture
def nano(hub: HubServer) -> HubServer:
    """The Hub with a repository of nano, and one of each kind of part."""
    hub.add("someone/nano", nano_files())
    hub.add("someone/vae", folder_files(path("nano") / "vae"))
    hub.add("someone/edges", folder_files(path("nano-edges")))
    hub.add("someone/outline", {"pytorch_lora_weights.safetensors": LORA.read_bytes(), "other.safetensors": b"no", "a.png": b"no"})
    hub.add("someone/loras", {"styles/outline.safetensors": LORA.read_bytes(), "b.safetensors": b"no"})
    return hub


def test_a_repository_draws_what_its_files_draw(nano: HubServer) -> None:
    assert picture(sdrt.load("someone/nano")) == picture(sdrt.load("nano"))
    assert weights(nano) == {
        "nano/text_encoder/model.safetensors",
        "nano/unet/diffusion_pytorch_model.safetensors",
        "nano/vae/diffusion_pytorch_model.safetensors",
    }


def test_a_picture_names_its_model_so_that_it_can_be_loaded_again(nano: HubServer) -> None:
    with sdrt.load("someone/nano", revision="main") as pipe:
        settings = pipe.generate("a red circle", **QUICK).settings  # type: ignore[arg-type]
    assert settings.model == "someone/nano"
    assert settings.revision == nano.store.repositories["models/someone/nano"].tip
    assert Settings.from_dict(settings.to_dict()).revision == settings.revision
    with sdrt.load(settings.model, revision=settings.revision) as again:
        assert again.generate(**settings.options()).settings.weights == settings.weights


def test_a_replaced_autoencoder_is_not_fetched(nano: HubServer) -> None:
    assert picture(sdrt.load("someone/nano", vae="someone/vae")) == picture(sdrt.load("nano"))
    assert {each for each in weights(nano) if "vae" in each} == {"vae/diffusion_pytorch_model.safetensors"}


@pytest.mark.parametrize("option", ["vae", "preview_vae"])
def test_the_quick_autoencoder_that_is_known_is_fetched(
    nano: HubServer, tmp_path: Path, option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model of published width; of the repository, which has the first files too, what diffusers' layout needs."""
    folder = save_pipeline_folder(tmp_path / "model")
    width = json.loads((folder / "unet" / "config.json").read_text())["block_out_channels"][0]
    monkeypatch.setattr("sdrt.models.families.unet._PUBLISHED_WIDTHS", (width,))
    nano.add(
        "madebyollin/taesd", {**folder_files(path("nano-quick")), "taesd_decoder.safetensors": b"no", "taesd_encoder.safetensors": b"no"}
    )
    chosen: dict[str, Any] = {option: "taesd"}
    with sdrt.load(folder, **chosen) as pipe:
        step = next(pipe.steps("a", **QUICK))  # type: ignore[arg-type]
        assert pipe.preview_kinds == ("latent", "taesd", "vae")
        assert step.decode(0, "taesd").size == (64, 64)
    assert weights(nano) == {"taesd/diffusion_pytorch_model.safetensors"}


def test_the_safety_checker_is_fetched_where_it_is_wanted(hub: HubServer, tmp_path: Path) -> None:
    hub.add("someone/checked", folder_files(save_pipeline_folder(tmp_path / "model", safety_checker=True)))
    checker = "checked/safety_checker/model.safetensors"
    with sdrt.load("someone/checked") as pipe:
        pipe.load()
        assert checker not in weights(hub)
    with sdrt.load("someone/checked", safety_checker=True) as pipe:
        assert pipe.generate("a cat", **QUICK).flagged is not None  # type: ignore[arg-type]
    assert checker in weights(hub)


def test_controlnets_are_fetched(nano: HubServer) -> None:
    control = np.zeros((64, 64, 3), dtype=np.uint8)
    want = picture(sdrt.load("nano", controlnet="nano-edges"), control_image=control)
    assert picture(sdrt.load("nano", controlnet=["someone/edges@main"]), control_image=control) == want
    assert weights(nano) == {"edges/diffusion_pytorch_model.safetensors"}


@pytest.mark.parametrize(
    ("lora", "name"),
    [("someone/outline", "outline"), ("someone/loras::styles/outline.safetensors", "outline"), (("someone/outline@main", 1.0), "outline")],
)
def test_loras_are_fetched_and_have_names(nano: HubServer, lora: str, name: str) -> None:
    want = picture(sdrt.load("nano", loras=[LORA]))
    assert want != picture(sdrt.load("nano"))
    with sdrt.load("nano", loras=[lora]) as pipe:
        result = pipe.generate("a red circle", **QUICK)  # type: ignore[arg-type]
        assert digest(result) == want
        assert list(result.settings.loras) == [name]
        pipe.set_loras([])
        pipe.set_loras([lora])
        assert picture(pipe) == want
    assert len(weights(nano)) == 1


def test_a_lora_of_the_folder_goes_before_a_repository(nano: HubServer, tmp_path: Path) -> None:
    (tmp_path / "loras" / "someone").mkdir(parents=True)
    (tmp_path / "loras" / "someone" / "outline.safetensors").write_bytes(LORA.read_bytes())
    with sdrt.load("nano", loras=["someone/outline"], lora_dir=tmp_path / "loras"):
        assert not nano.requests
    with sdrt.load("nano", loras=["someone/loras::styles/outline.safetensors"], lora_dir=tmp_path / "loras"):
        assert weights(nano) == {"loras/styles/outline.safetensors"}


def test_embeddings_are_fetched(hub: HubServer, tmp_path: Path) -> None:
    width = 64
    with sdrt.load("nano") as pipe:
        width = pipe.model.config("text_encoder")["hidden_size"]
    file = tmp_path / "x.safetensors"
    save_file({"<toy>": torch.randn(2, width, generator=torch.Generator().manual_seed(5))}, file)
    hub.add("someone/toy", {"learned_embeds.safetensors": file.read_bytes(), "learned_embeds.bin": b"no", "1.safetensors": b"no"})
    want = picture(sdrt.load("nano", embeddings=[file]), "a <toy> circle")
    assert picture(sdrt.load("nano", embeddings=["someone/toy"]), "a <toy> circle") == want
    assert picture(sdrt.load("nano", embeddings={"<other>": "someone/toy"}), "a <other> circle") == want
    assert weights(hub) == {"toy/learned_embeds.safetensors"}


def test_a_refiner_is_fetched_without_its_autoencoder(hub: HubServer, tmp_path: Path) -> None:
    forms: tuple[Form, ...] = ("sdxl", "sdxl-refiner")
    base, refiner = (save_pipeline_folder(tmp_path / form, form) for form in forms)
    hub.add("someone/refiner", folder_files(refiner))
    want = picture(sdrt.load(base, refiner=refiner), refiner_start=0.5)
    assert picture(sdrt.load(base, refiner="someone/refiner"), refiner_start=0.5) == want
    assert weights(hub) == {"refiner/text_encoder_2/model.safetensors", "refiner/unet/diffusion_pytorch_model.safetensors"}


def test_afterwards_nothing_is_asked(nano: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"vae": "someone/vae", "loras": ["someone/outline"], "controlnet": "someone/edges"}
    control = np.zeros((64, 64, 3), dtype=np.uint8)
    online = picture(sdrt.load("someone/nano", **options), control_image=control)  # type: ignore[arg-type]
    before = len(nano.requests)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert picture(sdrt.load("someone/nano", **options), control_image=control) == online  # type: ignore[arg-type]
    assert len(nano.requests) == before
    with pytest.raises(MissingFileError, match="someone/loras: no such folder, nor in the Hub's cache, and HF_HUB_OFFLINE is set"):
        sdrt.load("someone/nano", vae="someone/vae", loras=["someone/loras"])
    with pytest.raises(MissingFileError, match=r"^someone/nano: the cache lacks vae/.*, and HF_HUB_OFFLINE is set; fetch it when"):
        sdrt.load("someone/nano")


def test_a_hub_that_is_gone_leaves_the_cache(nano: HubServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    online = picture(sdrt.load("someone/nano"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    with caplog.at_level("WARNING", "sdrt"):
        assert picture(sdrt.load("someone/nano")) == online
    assert "someone/nano: working from the cache, since the Hub at http://127.0.0.1" in caplog.text
    with pytest.raises(MissingFileError, match=r"^someone/other: no such folder, and the Hub at http://127.* does not answer"):
        sdrt.load("someone/other")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backend": "pytorch"}, "pytorch"),
        ({"flagged_pictures": "blurred"}, "is for pipelines with a safety checker"),
        ({"backend": "coreml"}, "someone/nano: holds no Core ML packages; convert it"),
        ({"token": "two words"}, "token must be the text of a Hub access token, got a str that is not one"),
        ({"token": b"hf_secret"}, "token must be the text of a Hub access token, got a bytes that is not one"),
        ({"token": "hf_secret" * 60}, "token must be the text of a Hub access token, got a str that is not one"),
        ({"on_download": 3}, "on_download must be a function"),
    ],
)
def test_mistakes_are_told_before_weights_are_fetched(nano: HubServer, options: dict[str, object], message: str) -> None:
    with pytest.raises(sdrt.SdrtError, match=message) as caught:
        sdrt.load("someone/nano", **options)  # type: ignore[arg-type]
    assert not weights(nano)
    assert "two words" not in str(caught.value)
    assert "hf_secret" not in str(caught.value)


def test_a_revision_is_for_repositories(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"revision must come with a repository of the Hub, got revision='v1' with nano; leave it out"):
        sdrt.load("nano", revision="v1")


def test_packages_are_for_core_ml_alone(hub: HubServer) -> None:
    hub.add("apple/packages", apple_files())
    with pytest.raises(ConfigError, match="holds Core ML packages, and weights are needed here; pass their source model"):
        sdrt.load("apple/packages", backend="numpy")
    assert not weights(hub)


def test_a_hub_that_is_silent_is_waited_for_once(nano: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """As behind a firewall that drops everything: connected, and never answered."""
    options: dict[str, Any] = {"vae": "someone/vae", "loras": ["someone/outline"], "controlnet": "someone/edges"}
    sdrt.load("someone/nano", **options).close()
    monkeypatch.setattr(constants, "HF_HUB_ETAG_TIMEOUT", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        sdrt.load("someone/nano", **options).close()
        took = time.monotonic() - began
        silent.setblocking(False)
        silent.accept()[0].close()
        with pytest.raises(BlockingIOError):
            silent.accept()
    # four questions, of which one was asked
    assert took < 2.0


def test_a_listener_that_raises_cancels_and_the_next_call_goes_on(nano: HubServer, tmp_path: Path) -> None:
    class Enough(Exception):
        pass

    def listen(progress: sdrt.DownloadProgress) -> None:
        if progress.done_bytes > 2_000_000:
            raise Enough

    with pytest.raises(Enough):
        sdrt.load("someone/nano", on_download=listen)
    before = len(nano.contents())
    (snapshot,) = tmp_path.glob("hub-cache/*/snapshots/*")
    whole = {file.relative_to(snapshot).as_posix() for file in snapshot.rglob("*") if file.is_file()}
    assert 0 < len(whole) < 13
    assert picture(sdrt.load("someone/nano")) == picture(sdrt.load("nano"))
    assert not whole & {each.content for each in nano.contents()[before:]}


def test_a_token_goes_to_the_hub_and_is_never_shown(hub: HubServer, caplog: pytest.LogCaptureFixture) -> None:
    token = hub.add_user("ann", "hf_secret")
    hub.add("someone/private", nano_files(), private=True, readers=frozenset({"ann"}))
    assert token not in repr(HubAccess(token=token))
    with caplog.at_level("DEBUG", "sdrt"), sdrt.load("someone/private", token=token) as pipe:
        settings = pipe.generate("a red circle", **QUICK).settings  # type: ignore[arg-type]
    assert token not in caplog.text + repr(settings) + json.dumps(settings.to_dict())
    assert {each.host for each in hub.requests if "authorization" in each.headers} == {"hub"}
