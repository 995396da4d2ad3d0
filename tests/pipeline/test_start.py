"""Where a run starts, and what of each image's stream that takes."""

import numpy as np
import pytest

from sdrt import rng
from sdrt.pipeline.keep import keep_nothing
from sdrt.pipeline.noise import open_noise
from sdrt.pipeline.start import from_latents, from_noise
from sdrt.schedulers import sampler_from_name
from tests.factories import normal

SHAPE = (4, 8, 6)
CONFIG = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["ddim", "euler"])
def test_a_run_from_noise_starts_with_each_images_first_normals(name: str, dtype: str) -> None:
    plan = sampler_from_name(name, CONFIG).plan(5)
    start = from_noise(plan, open_noise("torch", None, 93, None, 2).latents(SHAPE).astype(dtype))
    assert (start.at, start.keep, start.latents.dtype) == (0, keep_nothing, np.dtype(dtype))
    for k in range(2):
        expected = rng.stream("torch", 93 + k).normal(SHAPE).astype(dtype) * plan.init_scale
        np.testing.assert_array_equal(start.latents[k], expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["ddim", "euler", "lcm"])
def test_latents_get_the_noise_of_the_call_at_which_they_start(name: str, dtype: str) -> None:
    sampler = sampler_from_name(name, CONFIG)
    plan, clean = sampler.plan(5), normal(1, 2, *SHAPE, dtype=dtype)
    noise = np.stack([rng.stream("torch", 93 + k).normal(SHAPE) for k in range(2)])
    start = from_latents(sampler, plan, 3, clean, noise)
    assert (start.at, start.latents.dtype) == (3, np.dtype(dtype))
    expected = plan.alphas[3] * clean + plan.sigmas[3] * noise
    np.testing.assert_allclose(start.latents, expected, rtol=1e-6, atol=1e-6)
    assert np.abs(start.latents - clean).max() > 0.01


def test_the_start_comes_first_in_a_stream_then_the_posterior_then_the_sampler() -> None:
    noise, stream = open_noise("torch", None, 93, None, 1), rng.stream("torch", 93)
    plan = sampler_from_name("euler a", CONFIG).plan(2)
    drawn = [noise.latents(SHAPE), noise.posterior(SHAPE, 1)]
    drawn.append(noise.step(plan, 0, None, SHAPE))  # type: ignore[arg-type]  # this sampler draws at its first call
    for got in drawn:
        np.testing.assert_allclose(got[0], stream.normal(SHAPE), rtol=1e-6, atol=1e-6)
