"""Guidance rescale against diffusers' own function."""

import numpy as np
import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg
from hypothesis import given
from hypothesis import strategies as st

from sdrt.guidance import Call, CFGPlusPlusGuidance, ClassifierFreeGuidance, RescaledGuidance, rescale
from tests.factories import normal

CALL = Call(0, 4, 999.0)


@given(st.floats(0.01, 1.0), st.floats(1.0, 20.0), st.integers(0, 100))
def test_rescale_equals_diffusers(amount: float, guidance_scale: float, seed: int) -> None:
    rows = normal(seed, 6, 4, 8, 8)
    uncond, cond = torch.from_numpy(rows).chunk(2)
    guided = uncond + guidance_scale * (cond - uncond)
    expected = rescale_noise_cfg(guided, cond, amount).numpy()
    got = RescaledGuidance(ClassifierFreeGuidance(guidance_scale), amount)(rows, CALL).output
    assert got.dtype == np.float32
    # two summation orders of the deviation, and one rounding of the factor
    np.testing.assert_allclose(got, expected, atol=3e-6 * np.abs(expected).max())


def test_full_rescale_gives_the_deviation_of_the_conditional_rows() -> None:
    cond, guided = normal(1, 3, 4, 8, 8, dtype="float64"), 5 * normal(2, 3, 4, 8, 8, dtype="float64")
    np.testing.assert_allclose(rescale(guided, cond, 1.0).std(axis=(1, 2, 3)), cond.std(axis=(1, 2, 3)), rtol=1e-12)


def test_no_rescale_changes_nothing() -> None:
    cond, guided = normal(1, 3, 4, 8, 8), normal(2, 3, 4, 8, 8)
    np.testing.assert_array_equal(rescale(guided, cond, 0.0), guided)


def test_what_the_other_guidance_hands_on_beside_its_output_is_kept() -> None:
    rows = normal(3, 4, 4, 8, 8)
    both = RescaledGuidance(CFGPlusPlusGuidance(ClassifierFreeGuidance(3.0)), 0.7)
    guided = both(rows, CALL)
    assert both.rows == ("negative", "prompt")
    assert guided.unconditional is not None
    np.testing.assert_array_equal(guided.unconditional, rows[:2])
