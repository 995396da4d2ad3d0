"""Dynamic thresholding: against its formula in torch, and Imagen's where the range is 1."""

from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler
from hypothesis import given, settings
from hypothesis import strategies as st

from sdrt.errors import ArrayContractError, ConfigError
from sdrt.exact.mathematics import EXACT
from sdrt.guidance import APG, Call, ClassifierFreeGuidance, DynamicThresholding, ProjectedGuidance, ThresholdedGuidance, threshold
from tests.factories import normal

A, B = 1 / 0.6, -0.8 / 0.6  # x0 = A * sample + B * prediction of epsilon, where alpha is 0.6


@settings(max_examples=30)
@given(st.floats(0, 1), st.floats(1, 10), st.floats(1, 30), st.integers(0, 100))
def test_each_channel_takes_the_range_of_the_mimic(percentile: float, mimic_scale: float, scale: float, seed: int) -> None:
    rows, sample = normal(seed, 6, 4, 8, 8), normal(seed + 1, 3, 4, 8, 8)
    uncond, cond = (torch.from_numpy(each * B + sample * A).flatten(2) for each in np.split(rows, 2))
    guided, mimic = (uncond + each * (cond - uncond) for each in (scale, mimic_scale))
    mean, centre = guided.mean(2, keepdim=True), mimic.mean(2, keepdim=True)
    allowed = (mimic - centre).abs().amax(2, keepdim=True)
    limit = torch.maximum(allowed, torch.quantile((guided - mean).abs(), percentile, dim=2, keepdim=True))
    expected = ((guided - mean).clamp(-limit, limit) / limit * allowed + mean).unflatten(2, (8, 8)).numpy()
    thresholded = ThresholdedGuidance(ClassifierFreeGuidance(scale), DynamicThresholding(percentile=percentile, mimic_scale=mimic_scale))
    got = thresholded(rows, Call(0, 4, 999.0, sample, (A, B))).output * B + sample * A
    # one rounding more of each sample, on its way to a prediction and back
    np.testing.assert_allclose(got, expected, atol=4e-6 * np.abs(guided.numpy()).max())


def test_with_a_range_of_one_it_is_imagens_formula() -> None:
    """diffusers' own ``_threshold_sample``, which the scheduler's option ``thresholding`` is, on samples that have one channel, mean 0."""
    guided = 4 * normal(1, 3, 1, 8, 8, dtype="float64")
    guided -= guided.mean(axis=(1, 2, 3), keepdims=True)
    mimic = np.zeros_like(guided)
    mimic[..., 0, :] = [1, -1] * 4
    peer = DDPMScheduler(thresholding=True, dynamic_thresholding_ratio=0.9, sample_max_value=100.0)
    want = peer._threshold_sample(torch.from_numpy(guided)).numpy()
    np.testing.assert_allclose(threshold(guided, mimic, 0.9), want, atol=1e-12)


def test_strong_guidance_stays_in_the_range_of_the_mimic_and_keeps_its_mean() -> None:
    rows, sample = normal(1, 4, 4, 16, 16, dtype="float64"), normal(2, 2, 4, 16, 16, dtype="float64")
    call = Call(0, 4, 999.0, sample, (A, B))
    strong, weak = (call.denoised(ClassifierFreeGuidance(scale)(rows, call).output) for scale in (30.0, 7.0))
    kept = call.denoised(ThresholdedGuidance(ClassifierFreeGuidance(30.0), DynamicThresholding())(rows, call).output)

    def width(x: Any) -> Any:
        return np.abs(x - x.mean(axis=(2, 3), keepdims=True)).max(axis=(2, 3))

    assert (width(strong) > 2 * width(weak)).all()
    assert (width(kept) < 1.1 * width(weak)).all()
    # clipping both tails moves it a little
    assert np.abs(kept.mean(axis=(2, 3)) - strong.mean(axis=(2, 3))).max() < 0.05 * width(strong).min()


def test_a_mimic_as_strong_as_the_guidance_changes_nothing() -> None:
    rows, call = normal(1, 4, 4, 8, 8), Call(0, 4, 999.0, normal(2, 2, 4, 8, 8), (A, B))
    plain = ClassifierFreeGuidance(7.0)(rows, call).output
    for bound in (DynamicThresholding(mimic_scale=7.0), DynamicThresholding(mimic_scale=7.0, percentile=1.0)):
        np.testing.assert_allclose(ThresholdedGuidance(ClassifierFreeGuidance(7.0), bound)(rows, call).output, plain, atol=1e-5)


def test_flat_channels_stay_flat() -> None:
    flat = np.full((1, 2, 4, 4), 3.0, np.float32)
    np.testing.assert_array_equal(threshold(flat, flat, 0.995), flat)
    np.testing.assert_array_equal(threshold(normal(1, 1, 2, 4, 4), flat, 0.995).std(axis=(2, 3)), 0)


def test_what_the_other_guidance_hands_on_is_kept() -> None:
    rows, call = normal(1, 4, 4, 8, 8), Call(0, 4, 999.0, normal(2, 2, 4, 8, 8), (A, B))
    inner = ProjectedGuidance(15.0, APG())
    guided = ThresholdedGuidance(inner, DynamicThresholding())(rows, call)
    assert guided.memory is not None
    np.testing.assert_array_equal(guided.memory, inner(rows, call).memory)


def test_exact_functions_give_the_same_but_for_rounding() -> None:
    guided, mimic = 5 * normal(1, 2, 4, 8, 8), normal(2, 2, 4, 8, 8)
    np.testing.assert_allclose(threshold(guided, mimic, 0.9), threshold(guided, mimic, 0.9, EXACT), atol=1e-5)


@pytest.mark.parametrize("value", [float("nan"), "7", True, None, 1e300])
def test_settings_are_numbers_in_their_ranges(value: Any) -> None:
    with pytest.raises(ConfigError, match=r"^dynamic_thresholding's mimic_scale must be a finite number"):
        DynamicThresholding(mimic_scale=value)
    with pytest.raises(ConfigError, match=r"^dynamic_thresholding's percentile must be a finite number from 0 to 1"):
        DynamicThresholding(percentile=value)


def test_both_samples_have_one_shape_with_channels() -> None:
    for shapes in (((1, 2, 4, 4), (1, 2, 4, 5)), ((3, 4), (3, 4))):
        with pytest.raises(ArrayContractError, match=r"guided and mimic must be of one shape \[n,C,h,w\]"):
            threshold(np.zeros(shapes[0], np.float32), np.zeros(shapes[1], np.float32), 0.5)
