"""Adaptive projected guidance against the paper's algorithm as diffusers has it, on both quantities, over several calls."""

from typing import Any

import numpy as np
import pytest
import torch
from diffusers.guiders.adaptive_projected_guidance import AdaptiveProjectedGuidance, MomentumBuffer, normalized_guidance
from hypothesis import given, settings
from hypothesis import strategies as st

from sdrt.arrays import Float
from sdrt.errors import ArrayContractError, ConfigError
from sdrt.exact.mathematics import EXACT
from sdrt.guidance import APG, Call, ClassifierFreeGuidance, DiffusersProjectedGuidance, ProjectedGuidance, project
from tests.factories import normal

SETTINGS = st.builds(APG, eta=st.floats(0, 1), norm_threshold=st.sampled_from([0.0, 2.0, 15.0]), momentum=st.floats(-0.9, 0.5))
SCALES = st.floats(1.1, 20.0)
# x0 = a * sample + b * prediction of epsilon at three noise levels, the last of them small
LEVELS = [(1 / alpha, -((1 - alpha**2) ** 0.5) / alpha) for alpha in (0.1, 0.6, 0.99)]


def buffer(apg: APG) -> Any:
    return MomentumBuffer(apg.momentum) if apg.momentum else None


@settings(max_examples=30)
@given(SETTINGS, SCALES, st.integers(0, 100))
def test_on_predictions_it_is_diffusers_guider(apg: APG, scale: float, seed: int) -> None:
    memory, running, guidance = None, buffer(apg), DiffusersProjectedGuidance(scale, apg)
    for k in range(3):
        rows = normal(seed + k, 6, 4, 8, 8)
        uncond, cond = torch.from_numpy(rows).chunk(2)
        expected = normalized_guidance(cond, uncond, scale, running, apg.eta, apg.norm_threshold).numpy()
        guided = guidance(rows, Call(k, 3, 999.0, memory=memory))
        memory = guided.memory
        # torch's norm is in float32, and differences cancel
        np.testing.assert_allclose(guided.output, expected, rtol=0, atol=1e-6 * scale * np.abs(rows).max())


@settings(max_examples=30)
@given(SETTINGS, SCALES, st.integers(0, 100))
def test_on_denoised_samples_it_is_the_papers_algorithm(apg: APG, scale: float, seed: int) -> None:
    """diffusers' "original formulation", in which a scale is less by 1, on denoised samples."""
    memory, running, guidance = None, buffer(apg), ProjectedGuidance(scale, apg)
    for k, (a, b) in enumerate(LEVELS):
        rows, sample = normal(seed + k, 6, 4, 8, 8, dtype="float64"), normal(seed + 50, 3, 4, 8, 8, dtype="float64")
        uncond, cond = (torch.from_numpy(each * b + sample * a) for each in np.split(rows, 2))
        expected = normalized_guidance(cond, uncond, scale - 1, running, apg.eta, apg.norm_threshold, use_original_formulation=True)
        guided = guidance(rows, Call(k, 3, 999.0, sample, (a, b), memory))
        memory = guided.memory
        denoised = guided.output * b + sample * a
        np.testing.assert_allclose(denoised, expected.numpy(), atol=1e-12 * np.abs(denoised).max())


def test_a_whole_part_along_the_sample_without_radius_and_momentum_is_classifier_free_guidance() -> None:
    rows, plain = normal(1, 6, 4, 8, 8), APG(eta=1.0, norm_threshold=0.0, momentum=0.0)
    call = Call(0, 4, 999.0, normal(2, 3, 4, 8, 8), LEVELS[1])
    want = ClassifierFreeGuidance(7.5)(rows, call).output
    for guidance in (ProjectedGuidance(7.5, plain), DiffusersProjectedGuidance(7.5, plain)):
        guided = guidance(rows, call)
        np.testing.assert_allclose(guided.output, want, atol=1e-6 * np.abs(want).max())
        assert guided.memory is None


def test_without_eta_nothing_of_the_change_lies_along_the_sample_and_it_is_no_longer_than_the_radius() -> None:
    difference, cond = 9 * normal(3, 2, 4, 8, 8, dtype="float64"), normal(4, 2, 4, 8, 8, dtype="float64")
    change = project(difference, cond, APG(eta=0.0, norm_threshold=3.0))
    assert np.abs((change * cond).sum(axis=(1, 2, 3))).max() < 1e-12
    assert (np.sqrt((change**2).sum(axis=(1, 2, 3))) < 3).all()


def test_images_are_projected_each_by_itself() -> None:
    difference, cond, apg = normal(3, 3, 4, 8, 8), normal(4, 3, 4, 8, 8), APG(norm_threshold=2.0)
    whole = project(difference, cond, apg)
    for k in range(3):
        np.testing.assert_array_equal(project(difference[k : k + 1], cond[k : k + 1], apg)[0], whole[k])


def test_a_sample_of_zeros_has_no_direction() -> None:
    difference = normal(3, 1, 4, 8, 8)
    np.testing.assert_array_equal(project(difference, np.zeros_like(difference), APG(norm_threshold=0)), difference)
    np.testing.assert_array_equal(project(np.zeros_like(difference), difference, APG()), np.zeros_like(difference))


def test_guidance_keeps_no_state_of_its_own() -> None:
    """Two runs that share a guidance go their own ways."""
    guidance, sample = ProjectedGuidance(9.0, APG()), normal(9, 2, 4, 8, 8)

    def run(seed: int) -> Float:
        memory = None
        for k in range(3):
            guided = guidance(normal(seed + k, 4, 4, 8, 8), Call(k, 3, 999.0, sample, LEVELS[0], memory))
            memory = guided.memory
        return guided.output

    alone = run(1)
    run(20)
    np.testing.assert_array_equal(run(1), alone)


def test_momentum_moves_later_calls_and_not_the_first() -> None:
    rows, sample = normal(1, 2, 4, 8, 8), normal(2, 1, 4, 8, 8)
    pushed, plain = (ProjectedGuidance(9.0, APG(momentum=momentum)) for momentum in (-0.5, 0.0))
    first = Call(0, 2, 999.0, sample, LEVELS[0])
    np.testing.assert_array_equal(pushed(rows, first).output, plain(rows, first).output)
    later = Call(1, 2, 500.0, sample, LEVELS[0], normal(5, 1, 4, 8, 8))
    assert np.abs(pushed(rows, later).output - plain(rows, later).output).max() > 0.01
    np.testing.assert_array_equal(plain(rows, later).output, plain(rows, first).output)


def test_exact_functions_give_the_same_but_for_rounding() -> None:
    rows, call = normal(1, 6, 4, 8, 8), Call(0, 4, 999.0, normal(2, 3, 4, 8, 8), LEVELS[1])
    one, other = (ProjectedGuidance(9.0, APG(), *functions)(rows, call).output for functions in ((), (EXACT,)))
    np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-7)


def test_the_defaults_are_the_papers_for_sdxl_and_diffusers_names_them() -> None:
    assert APG() == APG(eta=0.0, norm_threshold=15.0, momentum=-0.5)
    assert AdaptiveProjectedGuidance().config.adaptive_projected_guidance_rescale == APG().norm_threshold


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("eta", float("nan"), "a finite number from -10 to 10"),
        ("eta", "0", "a finite number"),
        ("norm_threshold", -1, "a finite number from 0 to"),
        ("momentum", 1.5, "a finite number from -1 to 1"),
        ("momentum", True, "a finite number"),
    ],
)
def test_settings_are_numbers_in_their_ranges(field: str, value: Any, rule: str) -> None:
    with pytest.raises(ConfigError, match=f"^apg's {field} must be {rule}"):
        APG(**{field: value})


def test_a_call_holds_what_the_guidance_looks_at() -> None:
    rows, guidance = normal(1, 2, 4, 8, 8), ProjectedGuidance(9.0, APG())
    for sample in (None, normal(2, 1, 4, 8, 9)):
        with pytest.raises(ConfigError, match=r"call\.sample must be an array of the prediction's shape, \[1, 4, 8, 8\], got"):
            guidance(rows, Call(0, 1, 999.0, sample))
    with pytest.raises(ArrayContractError, match=r"call\.memory must have the shape of a prediction, .* got \[2, 4, 8, 8\]"):
        guidance(rows, Call(1, 2, 999.0, rows[:1], LEVELS[0], rows))
    with pytest.raises(ArrayContractError, match="difference and cond must be of one shape"):
        project(rows, rows[:1], APG())
