"""Classifier-free guidance against torch's arithmetic."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sdrt.guidance import Call, ClassifierFreeGuidance, guide, is_guided
from tests.factories import normal

CALL = Call(0, 4, 999.0)


@given(st.floats(-3.0, 30.0), st.integers(0, 100))
def test_guidance_is_bit_equal_to_torch(guidance_scale: float, seed: int) -> None:
    rows = normal(seed, 4, 4, 5, 6)
    uncond, cond = torch.from_numpy(rows).chunk(2)
    expected = uncond + guidance_scale * (cond - uncond)
    guided = ClassifierFreeGuidance(guidance_scale)(rows, CALL)
    np.testing.assert_array_equal(guided.output, expected.numpy())
    assert guided.unconditional is None


@pytest.mark.parametrize(("scale", "expected"), [(0, False), (1, False), (1.0001, True), (7.5, True), (-3, False)])
def test_guidance_is_off_at_one_and_below(scale: float, expected: bool) -> None:
    assert is_guided(scale) is expected


@pytest.mark.parametrize(("scale", "row"), [(0.0, "negative"), (1.0, "prompt")])
def test_scales_0_and_1_give_one_of_the_two_predictions(scale: float, row: str) -> None:
    of = {"negative": normal(0, 2, 4, 3, 3, dtype="float64"), "prompt": normal(1, 2, 4, 3, 3, dtype="float64")}
    np.testing.assert_allclose(guide(of["negative"], of["prompt"], scale), of[row], rtol=0, atol=1e-14)


def test_the_predictions_are_left_alone() -> None:
    rows = normal(0, 2, 4, 3, 3)
    before = rows.copy()
    ClassifierFreeGuidance(7.5)(rows, CALL)
    np.testing.assert_array_equal(rows, before)
