"""The quick autoencoder (TAESD) in files with the names of its first code, and with diffusers'."""

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderTiny
from safetensors.torch import save_file

from sdrt.arrays import Array
from sdrt.backends import PLAIN, BackendOptions, registry
from sdrt.errors import MissingFileError, ModelError, SdrtError, WeightsError
from sdrt.models import ComponentName, StoredModel, open_component
from tests.factories import normal, random_quick_vae

Tensors = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def vae() -> AutoencoderTiny:
    return random_quick_vae(
        {
            "encoder_block_out_channels": (8, 8, 8),
            "decoder_block_out_channels": (12, 12, 12),
            "num_encoder_blocks": (1, 0, 2),
            "num_decoder_blocks": (0, 2, 1),
        }
    )


def _first_names(vae: AutoencoderTiny, half: str, prefix: str = "") -> Tensors:
    """The names of madebyollin/taesd, whose decoder begins with a layer without weights."""
    tensors = {}
    for name, tensor in getattr(vae, half).state_dict().items():
        _, place, rest = name.split(".", 2)
        tensors[f"{prefix}{int(place) + (half == 'decoder')}.{rest}"] = tensor
    return tensors


def _decoded(model: StoredModel, component: ComponentName = "vae_decoder") -> Array:
    network = registry.get("numpy").open(component, model, BackendOptions(), PLAIN)
    given = normal(1, 1, 4, 5, 3) if component == "vae_decoder" else normal(2, 1, 3, 20, 12)
    (found,) = network(**{network.signature.inputs[0].name: given}).values()
    return found


@pytest.mark.parametrize(
    "prefixes", [("encoder.", "decoder."), ("taesd_encoder.", "taesd_decoder."), ("vae.encoder.", "vae.decoder."), None]
)
def test_both_halves_in_one_file(tmp_path: Path, vae: AutoencoderTiny, prefixes: tuple[str, str] | None) -> None:
    """Under each of the prefixes, and with diffusers' names; a pair of networks that read the same numbers."""
    vae.save_pretrained(tmp_path / "folder")
    folder = open_component(tmp_path / "folder", "vae_decoder")
    both = vae.state_dict() if prefixes is None else _first_names(vae, "encoder", prefixes[0]) | _first_names(vae, "decoder", prefixes[1])
    save_file(both, tmp_path / "both.safetensors")
    model = open_component(tmp_path / "both.safetensors", "vae_decoder")
    assert model.components == ("vae_decoder", "vae_encoder")
    for component in model.components:
        assert np.array_equal(_decoded(model, component), _decoded(folder, component))


def test_a_file_for_each_half(tmp_path: Path, vae: AutoencoderTiny) -> None:
    """The other half is found beside either file, and in the folder of both; the decoder alone is half an autoencoder."""
    vae.save_pretrained(tmp_path / "folder")
    folder = open_component(tmp_path / "folder", "vae_decoder")
    save_file(_first_names(vae, "decoder"), tmp_path / "taesd_decoder.safetensors")
    alone = open_component(tmp_path / "taesd_decoder.safetensors", "vae_decoder")
    assert alone.components == ("vae_decoder",)
    with pytest.raises(MissingFileError, match="has no vae_encoder"):
        alone.config("vae_encoder")
    save_file(_first_names(vae, "encoder"), tmp_path / "taesd_encoder.safetensors")
    for place in (tmp_path / "taesd_decoder.safetensors", tmp_path / "taesd_encoder.safetensors", tmp_path):
        model = open_component(place, "vae_decoder")
        assert model.components == ("vae_decoder", "vae_encoder")
        assert model.where("vae_encoder").name == "taesd_encoder.safetensors"
        for component in model.components:
            assert np.array_equal(_decoded(model, component), _decoded(folder, component))


def test_an_encoder_alone_is_no_autoencoder(tmp_path: Path, vae: AutoencoderTiny) -> None:
    save_file(_first_names(vae, "encoder"), tmp_path / "taesd_encoder.safetensors")
    with pytest.raises(ModelError, match="must be a vae_decoder, got a vae_encoder"):
        open_component(tmp_path / "taesd_encoder.safetensors", "vae_decoder")


def test_of_a_folder_with_several_none_is_chosen(tmp_path: Path, vae: AutoencoderTiny) -> None:
    for name in ("taesd_decoder", "taesdxl_decoder"):
        save_file(_first_names(vae, "decoder"), tmp_path / f"{name}.safetensors")
    with pytest.raises(ModelError, match=r"one quick autoencoder, got taesd_decoder.safetensors, taesdxl_decoder.safetensors; pass"):
        open_component(tmp_path, "vae_decoder")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda tensors: tensors.pop("1.weight"), "must be those of a quick autoencoder"),
        (lambda tensors: tensors.pop("10.bias"), "must be those of a quick autoencoder"),
        (lambda tensors: tensors.pop("5.conv.2.weight"), r"tensor 'decoder.layers.4.conv.2.weight' of shape \[12, 12, 3, 3\] is missing"),
        (lambda tensors: tensors.update({"5.conv.2.weight": torch.zeros(12, 8, 3, 3)}), r"must have shape \[12, 12, 3, 3\]"),
        (lambda tensors: tensors.update({"1.bias": torch.full((12,), torch.nan)}), "holds 12 NaN or infinite values"),
        (lambda tensors: tensors.update({"77.weight": torch.zeros(3, 12, 3, 3)}), "must have a place in the network"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, vae: AutoencoderTiny, spoil: object, message: str) -> None:
    from sdrt.backends.pool import NetworkPool

    tensors = _first_names(vae, "decoder")
    spoil(tensors)  # type: ignore[operator]
    file = tmp_path / "taesd_decoder.safetensors"
    save_file(tensors, file)
    with pytest.raises((ModelError, WeightsError), match=message) as caught:
        NetworkPool(open_component(file, "vae_decoder"), {"vae_decoder": registry.get("numpy")}, {"vae_decoder": BackendOptions()}).get(
            "vae_decoder"
        )
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_cut_short(tmp_path: Path, vae: AutoencoderTiny) -> None:
    file = tmp_path / "taesd_decoder.safetensors"
    save_file(_first_names(vae, "decoder"), file)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(SdrtError, match=r"taesd_decoder\.safetensors"):
        open_component(file, "vae_decoder")


def test_pickled_halves_are_read_where_that_is_allowed(tmp_path: Path, vae: AutoencoderTiny) -> None:
    torch.save(_first_names(vae, "decoder"), tmp_path / "taesd_decoder.pth")
    with pytest.raises(MissingFileError, match="pickled"):
        open_component(tmp_path / "taesd_decoder.pth", "vae_decoder")
    model = open_component(tmp_path / "taesd_decoder.pth", "vae_decoder", pickled="weights_only")
    vae.save_pretrained(tmp_path / "folder")
    assert np.array_equal(_decoded(model), _decoded(open_component(tmp_path / "folder", "vae_decoder")))
