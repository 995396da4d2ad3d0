"""The embedded model against diffusers and transformers: the weights that every user has."""

import numpy as np
import pytest
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextModel

import sdrt.models
from sdrt.arrays import Numerics
from tests.backends.numpy.reference import (
    BOUNDS,
    NUMERICS,
    open_network,
    relative_error,
    torch_text_encoder,
    torch_unet,
    torch_vae,
)
from tests.factories import normal


@pytest.mark.parametrize("numerics", NUMERICS)
def test_agrees_with_the_reference(numerics: Numerics) -> None:
    """All four components."""
    folder = sdrt.models.path("nano")
    ids = np.random.default_rng(0).integers(0, 700, (2, 77)).astype(np.int32)
    text = open_network(folder, "text_encoder", numerics)(input_ids=ids)
    wanted_text = torch_text_encoder(CLIPTextModel.from_pretrained(folder / "text_encoder").float(), numerics)(ids)
    for name, wanted in wanted_text.items():
        assert relative_error(text[name], wanted) < BOUNDS[numerics], name

    inputs = {
        "sample": normal(0, 2, 4, 16, 16, dtype=numerics),
        "timestep": np.array([999, 20], numerics),
        "encoder_hidden_states": wanted_text["last_hidden_state"],
    }
    noise = open_network(folder, "unet", numerics)(**inputs)["noise_pred"]
    assert (
        relative_error(noise, torch_unet(UNet2DConditionModel.from_pretrained(folder / "unet").float(), numerics)(**inputs))
        < BOUNDS[numerics]
    )

    latents, picture = normal(1, 1, 4, 16, 16, dtype=numerics), normal(2, 1, 3, 128, 128, dtype=numerics)
    image = open_network(folder, "vae_decoder", numerics)(z=latents)["image"]
    assert relative_error(image, torch_vae(_vae(), "vae_decoder", numerics)(latents)) < BOUNDS[numerics]
    moments = open_network(folder, "vae_encoder", numerics)(x=picture)["moments"]
    assert relative_error(moments, torch_vae(_vae(), "vae_encoder", numerics)(picture)) < BOUNDS[numerics]


def _vae() -> AutoencoderKL:
    return AutoencoderKL.from_pretrained(sdrt.models.path("nano") / "vae").float()
