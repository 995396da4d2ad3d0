"""Schedulers under exact numerics: no function of the platform's, and plans next to those of float32."""

from typing import Any

import numpy as np
import pytest

from sdrt.errors import ConfigError
from sdrt.schedulers import Sampler, names, sampler_from_config, sampler_from_name
from sdrt.schedulers.catalogue import SAMPLERS
from tests.exact.poison import poison
from tests.schedulers.peers import MODEL

SHAPE = (1, 4, 4, 4)

# Settings that choose another formula for the noise levels, the noise schedule or the weights of a step.
CHANGES: tuple[dict[str, Any], ...] = (
    {},
    {"use_karras_sigmas": True},
    {"use_exponential_sigmas": True},
    {"use_beta_sigmas": True},
    {"use_lu_lambdas": True},
    {"use_ays_sigmas": True},
    {"sigma_spacing": "beta"},
    {"timestep_spacing": "trailing"},
    {"timestep_spacing": "linspace", "interpolation_type": "log_linear"},
    {"beta_schedule": "squaredcos_cap_v2", "lambda_min_clipped": -5.1},
    {"beta_schedule": "laplace"},
    {"beta_schedule": "exp"},
    {"beta_schedule": "sigmoid"},
    {"sigma_schedule": "exponential"},
    {"algorithm_type": "sde-dpmsolver++", "solver_order": 3},
    {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min"},
    {"algorithm_type": "noise_prediction"},
    {"predict_x0": False, "solver_type": "bh1", "final_sigmas_type": "sigma_min"},
    {"use_flow_sigmas": True, "prediction_type": "flow_prediction"},
    {"timestep_type": "continuous", "prediction_type": "v_prediction"},
    {"variance_type": "learned_range"},
    {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction"},
)


def draw(sampler: Sampler, n: int) -> list[np.ndarray[Any, Any]]:
    """Run a sampler over outputs that no network made; numpy's generator is not among what is forbidden, its bits are integers."""
    plan = sampler.plan(n, mu=0.8 if getattr(sampler.grid, "use_dynamic_shifting", False) else None)
    random = np.random.default_rng(n)
    arrays = [random.uniform(-2, 2, SHAPE).astype(np.float32) for _ in range(plan.num_calls + 1)]
    state = sampler.start(plan, arrays[0] * np.float32(plan.init_scale))
    for output in arrays[1:]:
        doubled = np.concatenate([output, output], 1) if sampler.doubled_output else output
        noise = random.uniform(-2, 2, SHAPE).astype(np.float32) if plan.draws[state.position] else None
        state = sampler.step(plan, state, doubled, noise)
    return [np.asarray(plan.timesteps), plan.alphas, plan.sigmas, state.x]


def made(class_name: str, change: dict[str, Any], numerics: Any, compat: Any = None) -> Sampler | None:
    try:
        own = {"_class_name": class_name} if class_name == "UnCLIPScheduler" else {**MODEL, "_class_name": class_name}
        sampler = sampler_from_config({**own, **change}, numerics, compat)
        known = all(key in sampler.keys for key in change)
    except ConfigError:
        return None
    return sampler if known else None


@pytest.mark.parametrize("class_name", SAMPLERS)
def test_no_function_of_the_platform_is_called(class_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    samplers = [made(class_name, change, "exact", compat) for change in CHANGES for compat in (None, "diffusers", "apple")]
    churned = [each.with_options(s_churn=5.0) for each in samplers if each is not None and "s_churn" in each.step_options]
    usable = [each for each in (*samplers, *churned) if each is not None]
    assert usable
    poison(monkeypatch)
    for sampler in usable:
        try:
            draw(sampler, 11)
        except ConfigError:
            continue


@pytest.mark.parametrize("name", [row.name for row in names()])
def test_runs_are_those_of_float32_but_for_rounding(name: str) -> None:
    """One unit in the last place of a float32 table, wherever the platform's libm rounds otherwise, is all that may differ."""
    exact, plain = (draw(sampler_from_name(name, MODEL, numerics), 12) for numerics in ("exact", "float32"))
    for ours, theirs in zip(exact, plain, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-6, atol=2e-6 * np.abs(theirs).max())


def test_poison_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The platform's functions are what float32 calls, so that the test above can fail."""
    poison(monkeypatch)
    with pytest.raises(AssertionError, match=r"PLATFORM\.power was called under exact numerics"):
        sampler_from_config({**MODEL, "_class_name": "EulerDiscreteScheduler", "use_karras_sigmas": True, "beta_end": 0.0121}).plan(5)
