"""Perturbed-attention guidance against diffusers' own mixin."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.pipelines.pag.pag_utils import PAGMixin
from hypothesis import given
from hypothesis import strategies as st

from sdrt.errors import ConfigError
from sdrt.guidance import (
    Call,
    CFGPlusPlusGuidance,
    ClassifierFreeGuidance,
    Guidance,
    PerturbedGuidance,
    RescaledGuidance,
    Unguided,
    choose_guidance,
)
from tests.factories import normal


def peer(scale: float, adaptive: float, rows: Any, t: float, guidance_scale: float | None) -> Any:
    mixin: Any = SimpleNamespace(pag_scale=scale, pag_adaptive_scale=adaptive, do_pag_adaptive_scaling=adaptive > 0 and scale > 0)
    mixin._get_pag_scale = lambda at: PAGMixin._get_pag_scale(mixin, at)
    guided = guidance_scale is not None
    return PAGMixin._apply_perturbed_attention_guidance(mixin, torch.from_numpy(rows), guided, guidance_scale, t)


@given(st.floats(0, 10), st.sampled_from([0.0, 0.003, 0.1]), st.floats(0, 1000), st.sampled_from([None, 1.5, 7.5]), st.integers(0, 99))
def test_it_equals_diffusers(scale: float, adaptive: float, t: float, guidance_scale: float | None, seed: int) -> None:
    inner: Guidance = Unguided() if guidance_scale is None else ClassifierFreeGuidance(guidance_scale)
    guidance = PerturbedGuidance(inner, scale, adaptive)
    rows = normal(seed, 2 * len(guidance.rows), 4, 4, 4)
    got = guidance(rows, Call(0, 4, t)).output
    assert got.dtype == np.float32
    expected = peer(scale, adaptive, rows, t, guidance_scale).numpy()
    # the same operations in another order of two sums
    np.testing.assert_allclose(got, expected, atol=1e-6 * np.abs(expected).max())


def test_its_place_among_the_others() -> None:
    guidance = choose_guidance(7.5, 0.5, pag_scale=3.0, pag_adaptive_scale=0.1, needs_unconditional=True)
    assert guidance == CFGPlusPlusGuidance(RescaledGuidance(PerturbedGuidance(ClassifierFreeGuidance(7.5), 3.0, 0.1), 0.5))
    assert guidance.rows == ("negative", "prompt", "perturbed")
    assert choose_guidance(1.0, pag_scale=3.0) == PerturbedGuidance(Unguided(), 3.0)
    embedded = choose_guidance(4.0, pag_scale=3.0, embedding_size=8)
    assert embedded.rows == ("prompt", "perturbed")
    assert embedded.unet_inputs.keys() == {"timestep_cond"}
    assert choose_guidance(7.5, pag_adaptive_scale=1.0) == ClassifierFreeGuidance(7.5)


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf"), "3", 1e10])
def test_scales_that_are_none_are_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match=r"pag_scale must be a finite number"):
        PerturbedGuidance(Unguided(), value)
    with pytest.raises(ConfigError, match=r"pag_adaptive_scale must be a finite number"):
        PerturbedGuidance(Unguided(), 3.0, value)
