"""PNDM as Apple's ml-stable-diffusion 1.1.1 has it, beside its formulas written down again, and beside diffusers where both agree."""

from typing import Any

import numpy as np
import pytest

from sdrt.errors import ConfigError
from sdrt.schedulers import from_config, sampler_from_config
from tests.schedulers.peers import SD, first_noise, network, run_peer
from tests.schedulers.swift_pndm import SwiftPndm

CONFIG: dict[str, Any] = {"_class_name": "PNDMScheduler", **SD, "skip_prk_steps": True, "steps_offset": 1}


@pytest.mark.parametrize("n", [2, 3, 4, 5, 20, 50])
def test_a_run_is_apples_and_ends_with_its_last_x0(n: int) -> None:
    apple = sampler_from_config(CONFIG, compat="apple")
    plan = apple.plan(n)
    for at in plan.starts:
        theirs, x = SwiftPndm(n), first_noise(np.float64)
        state = apple.start(plan, first_noise(), at)
        while state.position < plan.num_calls:
            t = int(plan.timesteps[state.position])
            x = theirs.step(network(x, t), t, x)
            state = apple.step(plan, state, network(state.x, t))
            ends = state.position == plan.num_calls
            expected = theirs.x0s[-1] if ends else x
            # float32 against float64, as in test_compat.
            np.testing.assert_allclose(state.x, expected, atol=2e-5 * np.abs(expected).max(), rtol=0)


def test_its_timesteps_are_n_plus_1() -> None:
    """As its tables show: 50 steps begin 981, 961, 961 and end 21, 1."""
    found = sampler_from_config(CONFIG, compat="apple").plan(50).timesteps.tolist()
    assert (len(found), found[:4], found[-2:]) == (51, [981, 961, 961, 941], [21, 1])
    assert sampler_from_config(CONFIG, compat="apple").plan(20).timesteps[:3].tolist() == [951, 901, 901]


def test_its_table_is_next_to_pytorchs() -> None:
    """Computed by its float32 recipe, whose values for seven timesteps were written down from Swift's formulas run in float32."""
    table = from_config(CONFIG, compat="apple").alphas_cumprod
    own = [0.99915, 0.998296, 0.9904313, 0.8942232, 0.27633256, 0.00577549, 0.00466009]
    np.testing.assert_allclose(table[[0, 1, 10, 100, 500, 981, 999]], own, rtol=1e-6)
    np.testing.assert_array_equal(table, np.array(SwiftPndm(1).table))
    torchs = from_config(CONFIG).alphas_cumprod
    assert 0 < np.abs(table / torchs - 1).max() < 1.5e-6


def test_all_but_the_last_sample_is_diffusers() -> None:
    apple = sampler_from_config(CONFIG, compat="apple")
    plan = apple.plan(20)
    theirs = run_peer(CONFIG, 20).samples
    state = apple.start(plan, first_noise())
    for expected in theirs[:-1]:
        state = apple.step(plan, state, network(state.x, plan.timesteps[state.position]))
        np.testing.assert_allclose(state.x, expected, atol=2e-5 * np.abs(expected).max(), rtol=0)
    state = apple.step(plan, state, network(state.x, plan.timesteps[-1]))
    assert np.abs(state.x - theirs[-1]).max() > 1e-3
    assert (plan.alphas[-1], plan.sigmas[-1]) == (1, 0)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"prediction_type": "v_prediction"}, "Apple's PNDM has prediction_type epsilon, got v_prediction; set it so, or leave compat out"),
        ({"steps_offset": 0, "skip_prk_steps": False}, "has skip_prk_steps True, steps_offset 1, got False, 0"),
        ({"timestep_spacing": "trailing"}, "has timestep_spacing leading, got trailing"),
        ({"set_alpha_to_one": True}, "has set_alpha_to_one False, got True"),
        ({"beta_schedule": "squaredcos_cap_v2"}, "knows beta_schedule linear and scaled_linear, .* got 'squaredcos_cap_v2'"),
    ],
)
def test_what_apple_does_not_do_is_refused(changed: dict[str, Any], message: str) -> None:
    """Its package reads no configuration: what it would do with this one is no run of this model."""
    with pytest.raises(ConfigError, match=message):
        sampler_from_config({**CONFIG, **changed}, compat="apple")
