"""Classifier-free guidance against diffusers' own arithmetic."""

import numpy as np
import pytest
import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg
from hypothesis import given
from hypothesis import strategies as st

from sdrt.guidance.classifier_free import guide, is_guided, rescale
from tests.factories import normal


@given(st.floats(1.0, 30.0), st.integers(0, 100))
def test_guidance_is_bit_equal_to_torch(guidance_scale: float, seed: int) -> None:
    rows = normal(seed, 4, 4, 5, 6)
    uncond, cond = torch.from_numpy(rows).chunk(2)
    expected = uncond + guidance_scale * (cond - uncond)
    np.testing.assert_array_equal(guide(rows, guidance_scale), expected.numpy())


@given(st.floats(0.01, 1.0), st.floats(1.0, 20.0), st.integers(0, 100))
def test_rescale_equals_diffusers(guidance_rescale: float, guidance_scale: float, seed: int) -> None:
    rows = normal(seed, 6, 4, 8, 8)
    uncond, cond = torch.from_numpy(rows).chunk(2)
    guided = uncond + guidance_scale * (cond - uncond)
    expected = rescale_noise_cfg(guided, cond, guidance_rescale).numpy()
    got = guide(rows, guidance_scale, guidance_rescale)
    assert got.dtype == np.float32
    # two summation orders of the deviation, and one rounding of the factor
    np.testing.assert_allclose(got, expected, atol=3e-6 * np.abs(expected).max())


def test_full_rescale_gives_the_deviation_of_the_conditional_rows() -> None:
    cond, guided = normal(1, 3, 4, 8, 8, dtype="float64"), 5 * normal(2, 3, 4, 8, 8, dtype="float64")
    np.testing.assert_allclose(rescale(guided, cond, 1.0).std(axis=(1, 2, 3)), cond.std(axis=(1, 2, 3)), rtol=1e-12)


@pytest.mark.parametrize(("scale", "expected"), [(0, False), (1, False), (1.0001, True), (7.5, True), (-3, False)])
def test_guidance_is_off_at_one_and_below(scale: float, expected: bool) -> None:
    assert is_guided(scale) is expected


def test_the_input_is_left_alone() -> None:
    rows = normal(0, 2, 4, 3, 3)
    before = rows.copy()
    guide(rows, 7.5, 0.7)
    np.testing.assert_array_equal(rows, before)
