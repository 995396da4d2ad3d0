"""A conversion is judged against the file that it was made from: every tensor used, and each read as its peer's loader reads it."""

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from converter.conversion import convert
from converter.options import ConvertOptions
from converter.source import open_source
from converter.verification.against_file import check_against_file
from sdrt.errors import ConversionError, WeightsError
from sdrt.models import ComponentName, open_component, open_model
from sdrt.models.original import vae as original_vae_names
from sdrt.models.stored_model import StoredModel
from sdrt.models.stored_tensor import Place
from tests.factories import Form, save_controlnet_folder, save_pipeline_folder
from tests.models.families import FAMILIES, Family, controlnet, narrow, save_original
from tests.models.original_names import original_controlnet, original_vae


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Form], Path]:
    made: dict[Form, Path] = {}

    def make(form: Form) -> Path:
        if form not in made:
            made[form] = save_pipeline_folder(tmp_path_factory.mktemp("folder") / form, form, safety_checker=form == "sd1")
        return made[form]

    return make


def compared(model: StoredModel, caplog: pytest.LogCaptureFixture) -> None:
    """Every component is what its file holds, and the peer reads each."""
    with caplog.at_level(logging.INFO, "sdrt.converter"):
        for component in model.components:
            check_against_file(model, component)
    assert caplog.messages == []


@pytest.mark.parametrize("form", ["sd1", "sd2", "sdxl", "sdxl-refiner"])
def test_folders_are_read_as_their_peers_read_them(folders: Callable[[Form], Path], form: Form, caplog: pytest.LogCaptureFixture) -> None:
    compared(open_model(folders(form)), caplog)


def test_the_peers_progress_bars_are_kept_back_and_stay_on(folders: Callable[[Form], Path], capfd: pytest.CaptureFixture[str]) -> None:
    from transformers.utils.logging import is_progress_bar_enabled

    before = is_progress_bar_enabled()
    check_against_file(open_model(folders("sd1")), "text_encoder")
    assert capfd.readouterr().err == ""
    assert is_progress_bar_enabled() is before


@pytest.mark.parametrize("family", FAMILIES)
def test_checkpoints_are_read_as_their_peers_read_them(family: Family, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    compared(open_model(save_original(narrow(family), tmp_path / "model.safetensors")), caplog)


def test_controlnets_are_read_as_their_peers_read_them(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    compared(open_component(save_controlnet_folder(tmp_path / "control"), "controlnet"), caplog)
    network = controlnet(wide=False)
    original = original_controlnet(network.state_dict(), network.config)
    save_file({name: tensor.contiguous() for name, tensor in original.items()}, tmp_path / "control.safetensors")
    compared(open_component(tmp_path / "control.safetensors", "controlnet"), caplog)


def test_an_override_is_judged_by_its_own_file(folders: Callable[[Form], Path], tmp_path: Path) -> None:
    vae = shutil.copytree(folders("sdxl") / "vae", tmp_path / "vae")
    file = next(vae.glob("*.safetensors"))
    model = open_model(folders("sd1")).with_override(open_component(vae, "vae_decoder"))
    check_against_file(model, "vae_decoder")
    save_file(load_file(file) | {"decoder.more": torch.ones(2)}, file)
    with pytest.raises(WeightsError, match=r"'decoder\.more'"):
        check_against_file(model, "vae_decoder")


def test_tensors_of_no_component_fail_a_conversion(tmp_path: Path) -> None:
    tensors = {name: tensor.contiguous() for name, tensor in narrow("sd1").original.items()}
    save_file(tensors | {"embedding_manager.vector": torch.ones(2)}, tmp_path / "model.safetensors")
    with pytest.raises(
        ConversionError, match=r"1 tensor \('embedding_manager\.vector'\) belong.* remove those tensors to convert the rest"
    ):
        check_against_file(open_model(tmp_path / "model.safetensors"), "vae_decoder")


@pytest.fixture
def swapped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A misreading that package and source would share: queries are taken for keys."""
    right = original_vae_names.vae_place

    def wrong(stored: str, levels: int) -> Place | None:
        return right(stored.replace("attn_1.q.", "attn_1.x.").replace("attn_1.k.", "attn_1.q.").replace("attn_1.x.", "attn_1.k."), levels)

    monkeypatch.setattr("sdrt.models.single_file.vae_place", wrong)


@pytest.mark.usefixtures("swapped")
@pytest.mark.parametrize("component", ["vae_decoder", "vae_encoder"])
def test_a_misreading_that_package_and_source_share_fails_a_conversion(component: ComponentName, tmp_path: Path) -> None:
    model = open_model(save_original(narrow("sd1"), tmp_path / "model.safetensors"))
    with pytest.raises(ConversionError, match=r"4 of the \d+ tensors of the vae_.* are not as diffusers reads them \(first '.*to_[qk]"):
        check_against_file(model, component)


def test_what_the_peer_cannot_read_is_said_in_the_log(
    folders: Callable[[Form], Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = Path(shutil.copytree(folders("sd1"), tmp_path / "model"))
    file = next((folder / "vae").glob("*.safetensors"))
    save_file({f"_orig_mod.{name}": tensor for name, tensor in load_file(file).items()}, file, metadata={"format": "pt"})
    with caplog.at_level(logging.INFO, "sdrt.converter"):
        check_against_file(open_model(folder), "vae_decoder")
    assert [message for message in caplog.messages if "vae_decoder: not compared with its peer's loader" in message]


@pytest.mark.parametrize("layout", ["diffusers", "mixed"])
def test_an_autoencoder_whose_names_the_peer_does_not_know_is_not_refused(
    layout: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    vae = narrow("sd1").modules["vae"].state_dict()
    original = {name.replace("attn_1.q.", "attn_1.to_q."): tensor for name, tensor in original_vae(vae, 4, "").items()}
    tensors = vae if layout == "diffusers" else original
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, tmp_path / "vae.safetensors")
    with caplog.at_level(logging.INFO, "sdrt.converter"):
        check_against_file(open_component(tmp_path / "vae.safetensors", "vae_decoder"), "vae_decoder")
    assert caplog.messages[-1] == "vae_decoder: not compared with its peer's loader, which does not read it"


@pytest.fixture
def crowded(folders: Callable[[Form], Path], tmp_path: Path) -> Callable[[str], ConvertOptions]:
    """Options of converting an autoencoder whose file holds one tensor more."""

    def make(name: str, **options: Any) -> ConvertOptions:
        folder = Path(shutil.copytree(folders("sd1"), tmp_path / "model"))
        file = next((folder / "vae").glob("*.safetensors"))
        save_file(load_file(file) | {name: torch.ones(2)}, file, metadata={"format": "pt"})
        return ConvertOptions(model=str(folder), out=tmp_path / "out", parts=("vae_decoder",), **options)

    return make


@pytest.mark.parametrize("check", [True, False])
def test_a_tensor_without_a_place_fails_a_conversion_with_and_without_its_comparison(
    crowded: Callable[..., ConvertOptions], tmp_path: Path, check: bool
) -> None:
    with pytest.raises(WeightsError, match=r"got 1 tensor \('decoder\.up_blocks\.1\.attentions\.0\.to_q\.weight'\) without one"):
        convert(crowded("decoder.up_blocks.1.attentions.0.to_q.weight", check=check))
    assert not list((tmp_path / "out").glob("*.mlpackage"))


def test_a_conversion_compares_with_the_file(folders: Callable[[Form], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[ComponentName] = []
    monkeypatch.setattr("converter.verification.against_file.check_against_file", lambda _, component: asked.append(component))
    convert(ConvertOptions(model=str(folders("sd1")), out=tmp_path / "out", parts=("vae_decoder",)))
    assert asked == ["vae_decoder"]


def test_a_source_refuses_what_has_no_place(crowded: Callable[..., ConvertOptions]) -> None:
    with pytest.raises(WeightsError, match=r"'decoder\.extra'"):
        open_source(crowded("decoder.extra")).adapter("vae_decoder")
