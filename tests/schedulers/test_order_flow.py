"""Order of convergence of the samplers for flows and for EDM's formulation, against the exact solution for Gaussian data."""

import math
from typing import Any

import numpy as np
import pytest

from sdrt.schedulers import Plan, Sampler, State, sampler_from_config
from tests.schedulers.oracles import DEVIATION, DOUBLINGS, slope, spread

SIGMA_DATA = 0.5


def sampler(class_name: str, **config: Any) -> Sampler:
    return sampler_from_config({"_class_name": class_name, **config}, "float64")


def best_x0(plan: Plan, i: int, x: np.ndarray) -> np.ndarray:
    found: np.ndarray = x * plan.alphas[i] * DEVIATION**2 / spread(plan)[i] ** 2
    return found


def flow(plan: Plan, i: int, x: np.ndarray) -> np.ndarray:
    """What a perfect network of flows says: noise - x0."""
    x0 = best_x0(plan, i, x)
    found: np.ndarray = (x - plan.alphas[i] * x0) / plan.sigmas[i] - x0
    return found


def preconditioned(plan: Plan, i: int, x: np.ndarray) -> np.ndarray:
    """What a perfect network between EDM's scalings says (Karras et al. 2022, table 1), solved for F."""
    sigma = plan.sigmas[i]
    c_skip = SIGMA_DATA**2 / (sigma**2 + SIGMA_DATA**2)
    c_out = sigma * SIGMA_DATA / math.sqrt(sigma**2 + SIGMA_DATA**2)
    found: np.ndarray = (best_x0(plan, i, x) - c_skip * x) / c_out
    return found


ANSWERS = {"flow": flow, "edm": preconditioned}


def error(sampler: Sampler, plan: Plan, kind: str, end: int) -> float:
    """Run from the exact state to call ``end``; return the relative error there."""
    exact = spread(plan)
    state = State(x=exact[:1], position=0)
    while state.position < end:
        state = sampler.step(plan, state, ANSWERS[kind](plan, state.position, state.x))
    return float(abs(state.x[0] / exact[end] - 1))


@pytest.mark.parametrize(
    ("class_name", "config", "order"),
    [
        ("FlowMatchEulerDiscreteScheduler", {}, 1),
        ("FlowMatchEulerDiscreteScheduler", {"shift": 3.0}, 1),
        ("FlowMatchEulerDiscreteScheduler", {"use_karras_sigmas": True}, 1),
        ("FlowMatchHeunDiscreteScheduler", {}, 2),
        ("FlowMatchHeunDiscreteScheduler", {"shift": 3.0}, 2),
    ],
)
def test_flow_samplers_have_their_order(class_name: str, config: dict[str, Any], order: int) -> None:
    """To the last stop but one: the step to no noise is Euler's, and as short in every run."""
    own = sampler(class_name, **config)
    plans = [own.plan(n) for n in DOUBLINGS]
    assert slope(DOUBLINGS, [error(own, plan, "flow", plan.starts[-1]) for plan in plans]) == pytest.approx(order, abs=0.1)


@pytest.mark.parametrize("schedule", ["karras", "exponential"])
@pytest.mark.parametrize(
    ("class_name", "config", "order"),
    [
        ("EDMEulerScheduler", {}, 1),
        ("EDMDPMSolverMultistepScheduler", {"solver_order": 1}, 1),
        ("EDMDPMSolverMultistepScheduler", {"solver_order": 2, "lower_order_final": False}, 2),
        ("EDMDPMSolverMultistepScheduler", {"solver_order": 2, "solver_type": "heun", "lower_order_final": False}, 2),
        ("EDMDPMSolverMultistepScheduler", {"solver_order": 3, "lower_order_final": False}, 2),
    ],
)
def test_edm_samplers_have_their_order(class_name: str, config: dict[str, Any], order: int, schedule: str) -> None:
    own = sampler(class_name, sigma_schedule=schedule, final_sigmas_type="sigma_min", **config)
    steps = (80, 160, 320, 640)  # a range of 1 to 40000 in noise: with fewer, the two orders of third order's error still mix
    plans = [own.plan(n) for n in steps]
    assert slope(steps, [error(own, plan, "edm", plan.num_calls) for plan in plans]) == pytest.approx(order, abs=0.15)


def variance_error(sampler: Sampler, plan: Plan, kind: str, end: int) -> float:
    """A step is linear here, x' = k x + c z: follow the variance of x without drawing anything, from step to step."""
    variance = spread(plan)[0] ** 2
    for begin, following in zip(plan.starts, [*plan.starts[1:], plan.num_calls], strict=True):
        if begin >= end:
            break
        # Entries: what becomes of x alone, and of the fresh noise of each call alone.
        count = following - begin
        state = State(x=np.eye(1 + count)[0], position=begin)
        while state.position < following:
            i = state.position
            fresh = np.eye(1 + count)[1 + i - begin] if plan.draws[i] else None
            state = sampler.step(plan, state, ANSWERS[kind](plan, i, state.x), fresh)
        variance = state.x[0] ** 2 * variance + (state.x[1:] ** 2).sum()
    return float(abs(variance / spread(plan)[end] ** 2 - 1))


@pytest.mark.parametrize(
    ("class_name", "kind", "config", "order"),
    [
        ("EDMEulerScheduler", "edm", {"final_sigmas_type": "sigma_min"}, 1),
        ("FlowMatchHeunDiscreteScheduler", "flow", {}, 2),  # noise is added exactly; what lies between is of order 2
    ],
)
def test_churn_keeps_the_datas_variance(class_name: str, kind: str, config: dict[str, Any], order: int) -> None:
    own = sampler(class_name, **config).with_options(s_churn=10.0)
    found = []
    for n in DOUBLINGS[1:]:
        plan = own.plan(n)
        assert any(plan.draws)
        found.append(variance_error(own, plan, kind, plan.starts[-1]))
    assert slope(DOUBLINGS[1:], found) == pytest.approx(order, abs=0.2)


def test_the_stochastic_edm_solver_reaches_the_right_variance_with_order_1() -> None:
    """In first order, whose step looks at nothing before it."""
    own = sampler("EDMDPMSolverMultistepScheduler", algorithm_type="sde-dpmsolver++", solver_order=1, final_sigmas_type="sigma_min")
    found = [variance_error(own, plan, "edm", plan.starts[-1]) for plan in (own.plan(n) for n in DOUBLINGS[1:])]
    assert slope(DOUBLINGS[1:], found) == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("n", [1, 2, 3, 8])
def test_a_perfect_consistency_model_gives_the_datas_variance_in_any_number_of_steps(n: int) -> None:
    """It goes to the trajectory's end at sigma_min exactly, and each step's noise brings the sample to the next level exactly."""
    own = sampler("CMStochasticIterativeScheduler", clip_denoised=False)
    plan = own.plan(n)
    end = DEVIATION**2 + 0.002**2
    variance = DEVIATION**2 + plan.sigmas[0] ** 2
    for i in range(n):
        sigma = plan.sigmas[i]
        c_skip = SIGMA_DATA**2 / ((sigma - 0.002) ** 2 + SIGMA_DATA**2)
        c_out = (sigma - 0.002) * SIGMA_DATA / math.sqrt(sigma**2 + SIGMA_DATA**2)
        x = np.array([1.0, 0.0])
        there = x * math.sqrt(end / (DEVIATION**2 + sigma**2))
        state = own.step(plan, State(x=x, position=i), (there - c_skip * x) / c_out, np.array([0.0, 1.0]) if plan.draws[i] else None)
        variance = state.x[0] ** 2 * variance + state.x[1] ** 2
        assert variance == pytest.approx(DEVIATION**2 + plan.sigmas[i + 1] ** 2, rel=1e-12)


def test_a_flow_redrawn_at_every_step_keeps_to_its_levels() -> None:
    """FlowMatchLCM and stochastic_sampling: signal and noise add up to 1 at every stop, in a run that knows its picture."""
    for class_name, config in (("FlowMatchLCMScheduler", {}), ("FlowMatchEulerDiscreteScheduler", {"stochastic_sampling": True})):
        own = sampler(class_name, **config)
        plan = own.plan(6)
        picture, noise, fresh = np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.0, 1.0])
        x = plan.alphas[2] * picture + plan.sigmas[2] * noise
        state = own.step(plan, State(x=x, position=2), noise - picture, fresh)
        np.testing.assert_allclose(state.x, plan.alphas[3] * picture + plan.sigmas[3] * fresh, atol=1e-14)
