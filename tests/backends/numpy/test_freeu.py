"""FreeU against diffusers' switch, and what its paper says that it does."""

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.utils.torch_utils import fourier_filter
from hypothesis import given, settings
from hypothesis import strategies as st

from sdrt.arrays import Array, Numerics
from sdrt.backends import BackendOptions, ComponentOptions
from sdrt.backends.numpy import NumpyBackend
from sdrt.backends.numpy.arithmetic import FLOATING
from sdrt.backends.numpy.exact import EXACT
from sdrt.backends.numpy.freeu import FreeUStage, low_frequencies
from sdrt.backends.numpy.team import ThreadTeam
from sdrt.freeu import FreeU
from sdrt.models import open_model
from tests.backends.numpy.reference import BOUNDS, NUMERICS, denoiser_inputs, open_network, relative_error, torch_unet
from tests.factories import Form, normal

FREEU = FreeU(b1=1.5, b2=1.6, s1=0.9, s2=0.2)
SIDES = st.integers(1, 9)


@settings(max_examples=60, deadline=None)
@given(height=SIDES, width=SIDES, channels=st.integers(1, 3), factor=st.floats(0.01, 3), seed=st.integers(0, 99))
def test_low_frequencies_are_those_of_diffusers_box(height: int, width: int, channels: int, factor: float, seed: int) -> None:
    """Odd sizes and single rows included, in float64: diffusers' mask itself is float32, so the factor is rounded for both."""
    x = normal(seed, 2, height, width, channels, dtype="float64")
    factor = float(np.float32(factor))
    low = low_frequencies(ThreadTeam(1), x)
    # its filter computes in float32: two transforms of up to 81 numbers round at 1e-6
    wanted = fourier_filter(torch.from_numpy(x.transpose(0, 3, 1, 2).astype(np.float32)), threshold=1, scale=factor)
    found = (x + (factor - 1) * low).transpose(0, 3, 1, 2)
    assert np.abs(found - wanted.numpy()).max() < 1e-5 * (1 + np.abs(x).max())


@pytest.mark.parametrize("numerics", NUMERICS)
@pytest.mark.parametrize("form", ["sd1", "sdxl"])
def test_agrees_with_diffusers(folders: dict[Form, Path], form: Form, numerics: Numerics) -> None:
    unet = UNet2DConditionModel.from_pretrained(folders[form] / "unet")
    inputs = denoiser_inputs(form, 2, 10, 6, numerics)
    reference = torch_unet(unet, numerics)
    plain = reference(**inputs)
    unet.enable_freeu(s1=FREEU.s1, s2=FREEU.s2, b1=FREEU.b1, b2=FREEU.b2)
    wanted = reference(**inputs)
    assert relative_error(plain, wanted) > 0.03
    found = open_network(folders[form], "unet", numerics).with_options(ComponentOptions(freeu=FREEU))(**inputs)["noise_pred"]
    # diffusers' filter rounds to float32 whatever the module's dtype is
    assert relative_error(found, wanted) < max(BOUNDS[numerics], 1e-5)


def energies(network_output: Array) -> tuple[float, float]:
    """The energy of the lowest frequencies, and of all others."""
    spectrum = np.abs(np.fft.fft2(network_output, axes=(1, 2))) ** 2
    low = spectrum[:, (0, 0, -1, -1), (0, -1, 0, -1)].sum()
    return float(low), float(spectrum.sum() - low)


def test_the_skip_connection_loses_low_frequencies_alone_and_the_backbone_gains_in_its_first_half() -> None:
    """Section 3.2 of the paper: s below 1 damps what is low in the skip connection, b above 1 amplifies the backbone."""
    x, skip = normal(1, 1, 16, 16, 8, dtype="float64"), 1 + normal(2, 1, 16, 16, 6, dtype="float64")
    joined = FreeUStage(backbone=1.5, skip=0.2)(ThreadTeam(1), x, skip)
    np.testing.assert_array_equal(joined[..., :4], 1.5 * x[..., :4])
    np.testing.assert_array_equal(joined[..., 4:8], x[..., 4:])
    (low, high), (low_before, high_before) = energies(joined[..., 8:]), energies(skip)
    # the mean is wholly scaled; a wave's real part also has its mirror, of which the box holds one half
    assert low < 0.1 * low_before
    assert high == pytest.approx(high_before, rel=0.05)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtypes_stay(dtype: str) -> None:
    x = normal(1, 2, 4, 5, 6, dtype=dtype)
    assert FreeUStage(1.1, 0.9)(ThreadTeam(1), x, x).dtype == dtype


def test_exact_results_do_not_depend_on_threads_or_on_the_rest_of_the_batch(folders: dict[Form, Path]) -> None:
    inputs = denoiser_inputs("sd1", 2, 8, 8)
    found = []
    for threads in (1, 3):
        options = BackendOptions(numerics="exact", threads=threads)
        network = NumpyBackend().open("unet", open_model(folders["sd1"]), options, ComponentOptions(freeu=FREEU))
        found.append(network(**inputs)["noise_pred"])
        alone = network(**{name: x[1:] for name, x in inputs.items()})["noise_pred"]
        np.testing.assert_array_equal(found[-1][1:], alone)
    np.testing.assert_array_equal(found[0], found[1])
    wanted = open_network(folders["sd1"], "unet").with_options(ComponentOptions(freeu=FREEU))(**inputs)["noise_pred"]
    assert relative_error(found[0], wanted) < BOUNDS["float32"]


def test_exact_waves_are_correct_to_rounding() -> None:
    x = normal(3, 1, 7, 8, 5)
    exact, floating = (low_frequencies(ThreadTeam(1, arithmetic), x) for arithmetic in (EXACT, FLOATING))
    # both are float32 sums of 56 numbers
    np.testing.assert_allclose(exact, floating, atol=2e-6)
