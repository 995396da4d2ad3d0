"""Networks that keep their weights in the file: the same numbers from a fraction of the memory."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from sdrt.arrays import Array, Numerics
from sdrt.errors import WeightsError
from sdrt.models import ComponentName
from tests.backends.numpy.reference import NUMERICS, denoiser_inputs, open_network, part_folder
from tests.factories import Form, normal, random_unet, random_vae

# Nearly all of it weights: 4.4 million of them beside pictures of 8x8.
WIDE: dict[str, Any] = {
    "block_out_channels": (64, 256),
    "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
    "layers_per_block": 1,
    "cross_attention_dim": 32,
    "attention_head_dim": 4,
}


def inputs_of(component: ComponentName, dtype: str) -> dict[str, Array]:
    match component:
        case "text_encoder" | "text_encoder_2":
            return {"input_ids": np.random.default_rng(0).integers(0, 300, (2, 12)).astype(np.int32)}
        case "unet":
            return denoiser_inputs("sdxl", 2, 8, 6, dtype)
        case "controlnet":
            return denoiser_inputs("sdxl", 2, 8, 6, dtype) | {"controlnet_cond": normal(5, 2, 3, 64, 48, dtype=dtype)}
        case "vae_decoder":
            return {"z": normal(0, 2, 4, 8, 6, dtype=dtype)}
        case "vae_encoder":
            return {"x": normal(0, 2, 3, 64, 48, dtype=dtype)}
        case "safety_checker":
            return {"clip_input": normal(0, 2, 3, 28, 28, dtype=dtype)}
        case _:
            raise ValueError(component)


COMPONENTS: tuple[ComponentName, ...] = (
    "text_encoder",
    "text_encoder_2",
    "unet",
    "controlnet",
    "vae_decoder",
    "vae_encoder",
    "safety_checker",
)


@pytest.mark.parametrize("component", COMPONENTS)
@pytest.mark.parametrize("numerics", NUMERICS)
def test_the_numbers_are_the_same(folders: dict[Form, Path], component: ComponentName, numerics: Numerics) -> None:
    """Called twice and bound, to rounding: the autoencoder takes pictures one by one, and BLAS rounds another number of rows otherwise."""
    inputs = inputs_of(component, numerics)
    wanted = open_network(folders["sdxl"], component, numerics, threads=1)(**inputs)
    network = open_network(folders["sdxl"], component, numerics, threads=1, low_memory=True)
    for found in (network(**inputs), network(**inputs), network.bind(**inputs)()):
        assert found.keys() == wanted.keys()
        for name, x in wanted.items():
            np.testing.assert_allclose(found[name], x, rtol=0, atol=1e-5 * np.abs(x).max() if numerics == "float32" else 1e-12)


def _kept_and_peak(work: Callable[[], Any]) -> tuple[int, int]:
    """Bytes that are still held when ``work`` has returned, and at most meanwhile, over what was there before; mapped files not counted."""
    tracemalloc.start()
    try:
        kept = work()
        now, peak = tracemalloc.get_traced_memory()
        del kept
    finally:
        tracemalloc.stop()
    return now, peak


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_weights_stay_in_their_file(tmp_path: Path, dtype: torch.dtype) -> None:
    """An open network holds next to nothing, and a call never more than the largest weight, widened, in two copies, and its pictures."""
    unet = random_unet(WIDE).to(dtype)
    folder = part_folder(tmp_path, "unet", unet)
    numbers = [parameter.numel() for parameter in unet.parameters()]
    inputs = {"sample": normal(0, 1, 4, 8, 8), "timestep": np.ones(1, np.float32), "encoder_hidden_states": normal(1, 1, 7, 32)}
    network = open_network(folder, "unet", threads=1, low_memory=True)
    kept, peak = _kept_and_peak(lambda: open_network(folder, "unet", threads=1, low_memory=True))
    assert kept < 4 * sum(numbers) / 20
    assert peak < 4 * (sum(numbers) / 20 + 3 * max(numbers))
    assert _kept_and_peak(lambda: network(**inputs))[1] < 4 * (sum(numbers) / 20 + 3 * max(numbers))
    # what it is compared with: packed convolutions are held, of float16 everything
    assert _kept_and_peak(lambda: open_network(folder, "unet", threads=1))[0] > 4 * sum(numbers) / 2


def test_pictures_are_decoded_one_by_one(tmp_path: Path) -> None:
    """Four pictures need hardly more memory than one, where otherwise they need more than twice as much."""
    folder = part_folder(tmp_path, "vae_decoder", random_vae({"block_out_channels": (16, 16), "norm_num_groups": 4}))

    def peak(n: int, *, low_memory: bool) -> int:
        network, z = open_network(folder, "vae_decoder", threads=1, low_memory=low_memory), normal(0, n, 4, 48, 48)
        return _kept_and_peak(lambda: network(z=z))[1]

    assert peak(4, low_memory=True) < 1.5 * peak(1, low_memory=True)
    assert peak(4, low_memory=False) > 2 * peak(1, low_memory=False)


def test_a_damaged_file_is_found_when_it_is_opened(tmp_path: Path) -> None:
    """Not at the first call: every tensor is looked at once."""
    folder = part_folder(tmp_path, "unet", random_unet(WIDE))
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    tensors["up_blocks.1.resnets.1.conv2.weight"].flat[3] = np.nan
    save_file(tensors, file)
    with pytest.raises(WeightsError, match=r"up_blocks\.1\.resnets\.1\.conv2\.weight' holds 1 NaN"):
        open_network(folder, "unet", low_memory=True)
