"""Both halves of the autoencoder against diffusers' own."""

from pathlib import Path
from typing import Any

import pytest
from diffusers import AutoencoderKL
from safetensors.numpy import load_file, save_file

from sdrt.arrays import Numerics
from sdrt.models import ComponentName
from tests.backends.numpy.reference import BOUNDS, NUMERICS, open_network, part_folder, relative_error, torch_vae
from tests.factories import VAES, Form, normal, random_vae

HALVES: tuple[ComponentName, ...] = ("vae_decoder", "vae_encoder")
SMALL: dict[str, Any] = {"block_out_channels": (8, 16), "norm_num_groups": 2, "layers_per_block": 1}

VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "no quant_conv": {"use_quant_conv": False, "use_post_quant_conv": False},
    "no attention": {"mid_block_add_attention": False},
    "other channels": {"latent_channels": 16, "in_channels": 4, "out_channels": 5},
    "one level": {"block_out_channels": (8,)},
}


def _input(component: ComponentName, config: dict[str, Any], n: int, height: int, width: int, dtype: str) -> Any:
    channels = config.get("latent_channels", 4) if component == "vae_decoder" else config.get("in_channels", 3)
    return normal(1, n, channels, height, width, dtype=dtype)


@pytest.mark.parametrize("component", HALVES)
@pytest.mark.parametrize("form", ["sd1", "sd2"])
@pytest.mark.parametrize("numerics", NUMERICS)
def test_agrees_with_diffusers(folders: dict[Form, Path], component: ComponentName, form: Form, numerics: Numerics) -> None:
    """Batches and sizes that no level divides."""
    network = open_network(folders[form], component, numerics)
    reference = torch_vae(AutoencoderKL.from_pretrained(folders[form] / "vae"), component, numerics)
    for n, height, width in [(1, 8, 8), (2, 5, 9), (4, 3, 4)]:
        scale = 1 if component == "vae_decoder" else 7
        x = _input(component, dict(VAES[form]), n, scale * height, scale * width, numerics)
        (found,) = network(**{network.signature.inputs[0].name: x}).values()
        assert found.dtype == numerics
        assert relative_error(found, reference(x)) < BOUNDS[numerics]


@pytest.mark.parametrize("component", HALVES)
@pytest.mark.parametrize("name", VARIANTS)
def test_every_form_agrees_with_diffusers(tmp_path: Path, component: ComponentName, name: str) -> None:
    """Each key of a configuration that is built, in float64."""
    config = SMALL | VARIANTS[name]
    vae = random_vae(config)
    network = open_network(part_folder(tmp_path, component, vae), component, "float64")
    x = _input(component, config, 2, 8, 6, "float64")
    (found,) = network(**{network.signature.inputs[0].name: x}).values()
    assert relative_error(found, torch_vae(vae, component, "float64")(x)) < BOUNDS["float64"]


def test_old_attention_names(tmp_path: Path) -> None:
    """`query`, `key`, `value`, `proj_attn`, as diffusers wrote them before 0.12, are the same attention."""
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    vae = random_vae(SMALL)
    folder = part_folder(tmp_path, "vae_decoder", vae)
    file = folder / "vae" / "diffusion_pytorch_model.safetensors"
    renamed = {}
    for name, tensor in load_file(file).items():
        for new, was in old.items():
            name = name.replace(f".{new}.", f".{was}.")
        renamed[name] = tensor
    assert any("proj_attn" in name for name in renamed)
    save_file(renamed, file)
    z = normal(1, 1, 4, 4, 4)
    found = open_network(folder, "vae_decoder")(z=z)["image"]
    assert relative_error(found, torch_vae(vae, "vae_decoder", "float32")(z)) < BOUNDS["float32"]
