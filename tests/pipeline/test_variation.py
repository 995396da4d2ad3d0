"""Variations of the first noise: what AUTOMATIC1111 draws."""

import numpy as np
import pytest

from sdrt.pipeline.noise import Variation, open_noise
from sdrt.rng import stream
from sdrt.schedulers import sampler_from_name

PLACES = [0, 1, 100, 500, 777, 1000, -1]

# Seed, subseed, strength, shape and size of origin in latents; then the first noise at PLACES, and its norm.
# From AUTOMATIC1111/stable-diffusion-webui 1.10.1, modules/rng.py::ImageRNG.first, run in torch 2.13 on a CPU with randn_source "CPU".
OF_AUTOMATIC1111 = [
    (93, 94, 0.1, (4, 16, 24), None, [0.1628554, -0.5249318, -0.9000902, 0.2250307, 0.0651361, 1.703033, -0.19746], 39.73824),
    (93, 94, 0.5, (4, 16, 24), None, [-0.1758968, -0.3022916, 0.4598485, -0.4955819, 1.07185, 2.231443, -1.185224], 39.20976),
    (93, 94, 1.0, (4, 16, 24), None, [-0.4735545, 0.02681902, 1.790176, -1.137578, 1.925185, 2.047964, -1.549103], 38.54482),
    (1, 2, 0.3, (4, 16, 16), None, [-1.933425, -0.2530229, 1.664841, -0.09782811, 0.9881576, 1.204087, 1.179317], 32.84266),
    (93, 94, 0.2, (4, 16, 24), (8, 16), [0.2418806, -0.5709894, 0.02442306, 0.4029007, -0.1996733, 0.5379275, 0.08780316], 40.8914),
    (93, 94, 0.0, (4, 16, 24), (32, 32), [0.8414068, -0.2866754, -1.482184, -0.0720282, 0.611801, -0.8623132, -0.4702962], 40.10435),
]  # fmt: skip


@pytest.mark.parametrize(("seed", "subseed", "strength", "shape", "resize_from", "probe", "norm"), OF_AUTOMATIC1111)
def test_variations_are_automatic1111s(
    seed: int,
    subseed: int,
    strength: float,
    shape: tuple[int, ...],
    resize_from: tuple[int, int] | None,
    probe: list[float],
    norm: float,
) -> None:
    variation = Variation(subseed=subseed, strength=strength, resize_from=resize_from)
    [noise] = open_noise("torch", None, seed, None, 1, variation).latents(shape)
    assert noise.dtype == np.float32
    np.testing.assert_allclose(noise.ravel()[PLACES], probe, atol=2e-6)
    assert np.linalg.norm(noise) == pytest.approx(norm, rel=1e-6)
    plain = stream("torch", seed).normal(shape)
    assert np.abs(noise - plain).max() > 0.5, "the variation moves nothing"


def test_the_sampler_goes_on_where_the_images_own_stream_stands() -> None:
    """As AUTOMATIC1111's does: its generator has drawn the image's size once, whatever the variation is."""
    plan = sampler_from_name("euler a", {"beta_schedule": "scaled_linear"}).plan(2)
    varied = open_noise("torch", None, [93, 93], None, 2, Variation(subseed=5, strength=0.3, resize_from=(4, 6)))
    plain = open_noise("torch", None, [93, 93], None, 2)
    first, own = varied.latents((4, 8, 8)), plain.latents((4, 8, 8))
    assert not (first == own).all(axis=(1, 2, 3)).any()
    assert not (first[0] == first[1]).all(), "image 1 has the next subseed"
    after, expected = varied.step(plan, 0, None, (4, 8, 8)), plain.step(plan, 0, None, (4, 8, 8))
    assert after is not None
    assert expected is not None
    assert after.tobytes() == expected.tobytes()


def test_the_whole_of_a_variation_is_the_noise_of_the_other_seed() -> None:
    """Also behind the posterior noise of a picture, which every stream draws first."""
    varied, other = (
        open_noise("torch", None, seed, None, 1, of) for seed, of in ((1, Variation(subseed=2, strength=1, resize_from=None)), (2, None))
    )
    for noise in (varied, other):
        noise.posterior((4, 8, 8), 1)
    np.testing.assert_allclose(varied.latents((4, 8, 8)), other.latents((4, 8, 8)), atol=1e-6)
