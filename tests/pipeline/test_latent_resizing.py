"""Latents at another size against torch."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sdrt.pipeline.latent_resizing import LATENT_RESIZINGS, LatentResizing

# torch's mode, and whether it is antialiased.
PEERS = {
    "latent": ("bilinear", False),
    "latent-antialiased": ("bilinear", True),
    "latent-bicubic": ("bicubic", False),
    "latent-bicubic-antialiased": ("bicubic", True),
    "latent-nearest": ("nearest", False),
    "latent-nearest-exact": ("nearest-exact", False),
}


def peer(x: np.ndarray, name: str, height: int, width: int) -> np.ndarray:
    mode, antialias = PEERS[name]
    return torch.nn.functional.interpolate(torch.from_numpy(x), size=(height, width), mode=mode, antialias=antialias).numpy()


def test_every_way_has_its_peer() -> None:
    assert PEERS.keys() == LATENT_RESIZINGS.keys()


@pytest.mark.parametrize("name", LATENT_RESIZINGS)
@settings(max_examples=40, deadline=None)
@given(sides=st.tuples(*[st.integers(2, 24)] * 4), seed=st.integers(0, 9))
def test_equals_torch(name: str, sides: tuple[int, int, int, int], seed: int) -> None:
    """Larger and smaller, by any ratio; torch sums in the dtype of the array, we in float64 and round once.

    Not from a side of 1: there torch 2.13 antialiases one side alone (its stride fits either layout).
    """
    height, width, tall, wide = sides
    for dtype, bound in (("float32", 1e-6), ("float64", 1e-13)):
        x = np.random.default_rng(seed).standard_normal((2, 4, height, width)).astype(dtype)
        if name.startswith("latent-nearest"):
            found, wanted = LatentResizing(name)(x, tall, wide), peer(x.astype("float32"), name, tall, wide)
            np.testing.assert_array_equal(found.astype("float32"), wanted)
            continue
        found, wanted = LatentResizing(name)(x, tall, wide), peer(x, name, tall, wide)
        assert found.dtype == dtype
        # float32 in torch loses the place of a tap, up to 2**-24 of a side, times the slope between two neighbours
        assert np.abs(found - wanted).max() <= bound * max(1.0, np.abs(wanted).max()) * 8


@pytest.mark.parametrize("name", LATENT_RESIZINGS)
def test_the_same_size_is_the_same_array(name: str) -> None:
    x = np.random.default_rng(0).standard_normal((1, 4, 8, 6)).astype(np.float32)
    np.testing.assert_array_equal(LatentResizing(name)(x, 8, 6), x)


@pytest.mark.parametrize("name", LATENT_RESIZINGS)
def test_a_constant_stays(name: str) -> None:
    np.testing.assert_allclose(LatentResizing(name)(np.full((1, 1, 5, 7), 3.0), 13, 9), 3.0, rtol=1e-14)
