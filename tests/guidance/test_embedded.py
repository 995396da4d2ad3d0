"""Guidance as an input of the U-Net, against diffusers' own embedding."""

import numpy as np
import pytest
import torch
from diffusers import LatentConsistencyModelPipeline

from sdrt.guidance import Call, EmbeddedGuidance
from tests.factories import normal


@pytest.mark.parametrize("size", [24, 25, 256])
@pytest.mark.parametrize("scale", [0.0, 1.0, 8.0])
def test_the_embedding_equals_diffusers(scale: float, size: int) -> None:
    embed = LatentConsistencyModelPipeline.get_guidance_scale_embedding
    expected = embed(None, torch.tensor([scale - 1]), embedding_dim=size).numpy()
    got = EmbeddedGuidance(scale, size).unet_inputs["timestep_cond"]
    assert got.shape == (1, size)
    # diffusers computes angles of up to 7,000 in float32
    np.testing.assert_allclose(got, expected, atol=1e-3)


def test_the_scale_moves_the_embedding_and_the_prediction_passes() -> None:
    one, two = (EmbeddedGuidance(scale, 24).unet_inputs["timestep_cond"] for scale in (2.0, 2.5))
    assert np.abs(one - two).max() > 0.1
    prediction = normal(0, 2, 4, 3, 3)
    guided = EmbeddedGuidance(2.0, 24)(prediction, Call(0, 1, 999.0))
    assert guided.output is prediction
    assert guided.unconditional is None
