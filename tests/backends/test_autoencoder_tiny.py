"""The quick autoencoder (TAESD) on numpy and on torch against diffusers' AutoencoderTiny."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderTiny

from sdrt.arrays import Array, Numerics
from sdrt.backends import PLAIN, BackendOptions, Network, registry
from sdrt.errors import ConfigError
from sdrt.models import ComponentName, open_component
from tests.backends.cases import relative_error
from tests.factories import normal, random_quick_vae

HALVES: tuple[ComponentName, ...] = ("vae_decoder", "vae_encoder")
SMALL: dict[str, Any] = {
    "encoder_block_out_channels": (8, 8, 8),
    "decoder_block_out_channels": (12, 12, 12),
    "num_encoder_blocks": (0, 2, 1),
    "num_decoder_blocks": (1, 2, 0),
}
FORMS: dict[str, dict[str, Any]] = {
    "TAESD's": {},
    "small": SMALL,
    "enlarged threefold": SMALL | {"upsampling_scaling_factor": 3},
    "silu": SMALL | {"act_fn": "silu"},
    "swish": SMALL | {"act_fn": "swish"},
    "gelu": SMALL | {"act_fn": "gelu"},
    "other channels": SMALL | {"latent_channels": 16, "in_channels": 4, "out_channels": 5},
    "one level": {f"{half}_block_out_channels": (8,) for half in ("encoder", "decoder")}
    | {f"num_{half}_blocks": (2,) for half in ("encoder", "decoder")},
}
# Of the largest value; 1e-6 and 2e-15 are measured.
BOUNDS: Mapping[str, float] = {"float32": 1e-5, "float64": 1e-12, "exact": 1e-5}
RUNS: tuple[tuple[str, Numerics], ...] = (
    ("numpy", "float32"),
    ("numpy", "float64"),
    ("numpy", "exact"),
    ("torch", "float32"),
    ("torch", "float64"),
)


def _inputs(vae: AutoencoderTiny, component: ComponentName, n: int, height: int, width: int) -> Array:
    """Odd sizes; latents that the decoder bends."""
    if component == "vae_decoder":
        return 2.0 * normal(1, n, vae.config.latent_channels, height, width, dtype="float64")
    return normal(2, n, vae.config.in_channels, 7 * height, 7 * width, dtype="float64")


def _peer(vae: AutoencoderTiny, component: ComponentName, x: Array) -> Array:
    run = vae.double()
    with torch.no_grad():
        given = torch.from_numpy(x)
        found: Array = (run.decode(given).sample if component == "vae_decoder" else run.encode(given).latents).numpy()
    return found


def _open(folder: Path, component: ComponentName, backend: str = "numpy", **options: Any) -> Network:
    return registry.get(backend).open(component, open_component(folder, "vae_decoder"), BackendOptions(**options), PLAIN)


def _run(network: Network, x: Array, numerics: str = "float32") -> Array:
    dtype = "float64" if numerics == "float64" else "float32"
    (found,) = network(**{network.signature.inputs[0].name: x.astype(dtype)}).values()
    assert found.dtype == dtype
    return found


@pytest.mark.parametrize("component", HALVES)
@pytest.mark.parametrize("form", FORMS)
def test_agrees_with_diffusers(tmp_path: Path, component: ComponentName, form: str) -> None:
    """Every key of a configuration that is built, a batch of odd sizes, each backend in each precision."""
    vae = random_quick_vae(FORMS[form])
    vae.save_pretrained(tmp_path)
    x = _inputs(vae, component, 2, 3, 5)
    wanted = _peer(vae, component, x.astype("float32").astype("float64"))
    for backend, numerics in RUNS:
        found = _run(_open(tmp_path, component, backend, numerics=numerics), x.astype("float32"), numerics)
        assert relative_error(found, wanted) < BOUNDS[numerics], (backend, numerics)


@pytest.mark.parametrize("component", HALVES)
def test_every_tensor_counts(tmp_path: Path, component: ComponentName) -> None:
    """A layer that is read twice, or passed over, would agree with itself: each tensor moves the output on its own."""
    vae = random_quick_vae(SMALL)
    x = _inputs(vae, component, 1, 3, 4)
    half = vae.decoder if component == "vae_decoder" else vae.encoder
    vae.save_pretrained(tmp_path / "whole")
    plain = _run(_open(tmp_path / "whole", component), x)
    for name, tensor in half.named_parameters():
        kept = tensor.clone()
        tensor.mul_(1.5)
        vae.save_pretrained(tmp_path / name)
        tensor.copy_(kept)
        assert relative_error(_run(_open(tmp_path / name, component), x), plain) > 1e-5, name


@pytest.mark.parametrize("component", HALVES)
def test_exact_results_are_the_same_bytes_for_any_batch_and_memory(tmp_path: Path, component: ComponentName) -> None:
    vae = random_quick_vae(SMALL | {"act_fn": "gelu"})
    vae.save_pretrained(tmp_path)
    x = _inputs(vae, component, 3, 4, 3)
    together = _run(_open(tmp_path, component, numerics="exact", threads=1), x)
    for options in ({"threads": 2}, {"low_memory": True}):
        network = _open(tmp_path, component, numerics="exact", **options)
        alone = np.concatenate([_run(network, x[k : k + 1]) for k in range(3)])
        assert alone.tobytes() == together.tobytes(), options


def test_layers_have_diffusers_paths(tmp_path: Path) -> None:
    """Values inside are those of diffusers' modules: on numpy as on torch."""
    vae = random_quick_vae(SMALL)
    vae.save_pretrained(tmp_path)
    for component in HALVES:
        x = _inputs(vae, component, 1, 3, 4).astype("float32")
        ours, theirs = (_open(tmp_path, component, backend) for backend in ("numpy", "torch"))
        names = sorted(set(ours.trace_names) & set(theirs.trace_names))  # type: ignore[attr-defined]
        assert len(names) >= 10
        name = ours.signature.inputs[0].name
        found, wanted = (network.trace(names, **{name: x}) for network in (ours, theirs))  # type: ignore[attr-defined]
        assert all(relative_error(found[each], wanted[each]) < 1e-5 for each in names)


@pytest.mark.parametrize(("key", "value"), [("act_fn", "mish"), ("upsample_fn", "bilinear")])
def test_what_numpy_does_not_build_is_refused_by_name(tmp_path: Path, key: str, value: str) -> None:
    """torch builds them."""
    random_quick_vae(SMALL | {key: value}).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=rf"config.json: {key} is '{value}'; the numpy backend runs"):
        _open(tmp_path, "vae_decoder")
    assert _open(tmp_path, "vae_decoder", "torch").signature.outputs


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_decoder_blocks": [1, 2]}, "num_decoder_blocks must have 3 entries, as many as decoder_block_out_channels has"),
        ({"encoder_block_out_channels": [8, 16, 8]}, "encoder_block_out_channels must be one number for all levels"),
        ({"num_decoder_blocks": [1, 2, -1]}, "num_decoder_blocks must be a list"),
        ({"num_encoder_blocks": [1, 2, 10**6]}, "layers"),
        ({"upsampling_scaling_factor": 0}, "upsampling_scaling_factor must be"),
        ({"scaling_factor": float("nan")}, "NaN"),
    ],
)
def test_configurations_that_cannot_be(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    random_quick_vae(SMALL).save_pretrained(tmp_path)
    file = tmp_path / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    with pytest.raises(Exception, match=message) as caught:
        open_component(tmp_path, "vae_decoder").config("vae_decoder")
    assert "config.json" in str(caught.value)
    assert "\n" not in str(caught.value)
