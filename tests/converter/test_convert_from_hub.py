"""Conversions of what the Hub has: the weights that will be converted are fetched, and no others."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from converter import ConvertOptions, cli
from converter.jobs import plan_jobs
from converter.sizes import resolve_sizes
from converter.source import model_name, open_source
from sdrt.errors import ConfigError
from sdrt.models import path
from tests.factories import save_controlnet_folder, save_pipeline_folder
from tests.hub_repository import Files, folder_files
from tests.hub_server import HubServer


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Files]:
    """What each repository holds, made once."""
    root = tmp_path_factory.mktemp("repositories")
    model = save_pipeline_folder(root / "model", "sd1", safety_checker=True)
    return {
        "someone/model": folder_files(model),
        "someone/vae": folder_files(model / "vae"),
        "someone/edges": folder_files(save_controlnet_folder(root / "edges")),
        "someone/refiner": folder_files(save_pipeline_folder(root / "refiner", "sdxl-refiner")),
        "someone/nano": folder_files(path("nano")),
        "someone/outline": {"pytorch_lora_weights.safetensors": path("nano-outline").read_bytes()},
    }


@pytest.fixture
def repositories(hub: HubServer, files: Mapping[str, Files]) -> HubServer:
    for name, held in files.items():
        hub.add(name, held)
    return hub


def weights(hub: HubServer) -> set[str]:
    asked = {each.path.partition("/resolve/") for each in hub.requests if each.path.endswith(".safetensors")}
    return {f"{repository.rpartition('/')[2]}/{rest.partition('/')[2].rpartition('/')[0]}" for repository, _, rest in asked}


CASES: dict[str, tuple[dict[str, object], set[str]]] = {
    "a unet": ({"parts": ("unet",)}, {"model/unet"}),
    "both halves of an autoencoder": ({"parts": ("vae_decoder", "vae_encoder")}, {"model/vae"}),
    "an autoencoder's encoder": ({"parts": ("vae_encoder",)}, {"model/vae"}),
    "another autoencoder": ({"parts": ("vae_decoder", "unet"), "vae": "someone/vae"}, {"vae/", "model/unet"}),
    "a safety checker": ({"parts": ("safety_checker",)}, {"model/safety_checker"}),
    "a controlnet alone": ({"controlnets": ("someone/edges",)}, {"edges/"}),
    "a refiner's unet": ({"parts": ("text_encoder",), "refiner": "someone/refiner"}, {"model/text_encoder", "refiner/unet"}),
}


@pytest.mark.parametrize("case", CASES)
def test_the_weights_that_are_converted_are_fetched(repositories: HubServer, tmp_path: Path, case: str) -> None:
    given, want = CASES[case]
    options = ConvertOptions(model="someone/model", out=tmp_path / "out", **given)  # type: ignore[arg-type]
    source = open_source(options)
    assert plan_jobs(source, resolve_sizes(source, options), options).jobs
    assert weights(repositories) == want


def test_a_lora_is_matched_with_all_that_it_may_change(repositories: HubServer, tmp_path: Path) -> None:
    options = ConvertOptions(model="someone/nano", out=tmp_path, parts=("vae_decoder",), loras=(("someone/outline@main", 0.5),))
    (lora,) = open_source(options).loras
    assert (lora.lora.name, lora.strength) == ("outline", 0.5)
    assert weights(repositories) == {"nano/text_encoder", "nano/unet", "nano/vae", "outline/"}


def test_a_revision_is_the_models_and_stands_in_the_package(
    repositories: HubServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tip = repositories.store.repositories["models/someone/nano"].tip
    argv = ["--model-version", "someone/nano", "--revision", tip, "--convert-vae-decoder", "-o", str(tmp_path / "out")]
    assert cli.main([*argv, "--no-check-output-correctness"]) == 0
    assert "someone/nano: fetching 2.0 MB" in capsys.readouterr().err
    (package,) = (tmp_path / "out").glob("*.mlpackage")
    assert package.stem == "Stable_Diffusion_version_someone_nano_vae_decoder"
    assert json.loads((tmp_path / "out" / "sdrt.json").read_text())["coreml"]["source"] == {"model": "someone/nano", "revision": tip}
    before = len(repositories.requests)
    assert cli.main([*argv, "--no-check-output-correctness"]) == 0
    assert len(repositories.requests) == before
    with pytest.raises(ConfigError, match="revision must come with a repository of the Hub, got revision='main' with nano"):
        open_source(ConvertOptions(model="nano", out=tmp_path, parts=("unet",), revision="main"))


def test_packages_are_called_after_the_repository_or_the_file() -> None:
    assert model_name("someone/tiny@v1") == "someone/tiny"
    assert model_name("someone/merges@v1::sd/mine.safetensors") == "mine"
