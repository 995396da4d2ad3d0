"""Order of convergence of the samplers that choose their stops by ratio, on the Gaussian data of test_order.

Runs go to the beginning of the last step: that one leads to no noise, by x0 alone, with an error that no number of steps makes smaller.
"""

from typing import Any

import numpy as np
import pytest

from sdrt.schedulers import Plan, Sampler, State
from tests.schedulers.test_order import answer, sampler, slope, spread

STEPS = (20, 40, 80, 160)
DETERMINISTIC = {
    "EulerCFGPPScheduler": 1,
    "HeunDiscreteScheduler": 2,
    "KDPM2DiscreteScheduler": 2,
    "DPMPP2MCFGPPScheduler": 2,
    "ResMultistepScheduler": 2,
}
# Of the variance that a run ends with; without fresh noise, of the sample.
STOCHASTIC = {
    "EulerAncestralDiscreteScheduler": (1, 1),
    "EulerAncestralCFGPPScheduler": (1, 1),
    "KDPM2AncestralDiscreteScheduler": (2, 2),
    "DPMPP2SAncestralScheduler": (2, 2),
    "ResMultistepAncestralScheduler": (2, 2),
    "DPMSolverSDEScheduler": (2, None),
}


def karras(class_name: str, **config: Any) -> Sampler:
    flag: dict[str, Any] = {"sigma_spacing": "karras"} if class_name == "EulerAncestralDiscreteScheduler" else {"use_karras_sigmas": True}
    return sampler(class_name, **flag, **config)


def error(sampler: Sampler, n: int, history: int = 0) -> float:
    """Run from the exact state at the beginning, or after some steps with exact slopes; return the relative error at the last step."""
    plan = sampler.plan(n)
    exact = spread(plan)
    past = tuple(answer("epsilon", plan, i, exact[i : i + 1]) for i in range(history))
    state = State(x=exact[history : history + 1], position=history, history=past)
    while state.position < plan.starts[-1]:
        i = state.position
        nothing = np.zeros(1) if plan.draws[i] else None
        state = sampler.step(plan, state, answer(sampler.prediction_type, plan, i, state.x), nothing)
    return float(abs(state.x[0] / exact[state.position] - 1))


def draws(plan: Plan, first: int, calls: int) -> np.ndarray:
    """Return each call's noise in a step, as a sum of independent ones: f64[calls, calls].

    Brownian increments from one ratio to two others share the way to the nearer.
    """
    if plan.span is None or calls == 1:
        return np.eye(calls)
    (now, middle), (_, then) = plan.intervals[first], plan.intervals[first + 1]
    return np.array([[1, 0], [np.sqrt((now - middle) / (now - then)), np.sqrt((middle - then) / (now - then))]])


def variance_error(sampler: Sampler, n: int) -> float:
    """Follow the covariance of the sample and of what is remembered; a step is linear in both and in fresh noise, and nothing is drawn."""
    plan = sampler.plan(n)
    covariance = np.diag([spread(plan)[0] ** 2, 0.0])
    for first, end in zip(plan.starts, plan.starts[1:], strict=False):
        calls = end - first
        basis = np.eye(2 + calls)
        past = (basis[1],) if first and type(sampler).__name__.startswith("ResMultistep") else ()
        state = State(x=basis[0], position=first, history=past)
        for call, noise in zip(range(first, end), draws(plan, first, calls), strict=True):
            fresh = np.concatenate([[0, 0], noise]) if plan.draws[call] else None
            state = sampler.step(plan, state, answer(sampler.prediction_type, plan, call, state.x), fresh)
        step = np.array([state.x, *(state.history or (np.zeros(2 + calls),))])
        covariance = step[:, :2] @ covariance @ step[:, :2].T + step[:, 2:] @ step[:, 2:].T
    return float(abs(covariance[0, 0] / spread(plan)[plan.starts[-1]] ** 2 - 1))


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("formula", ["use_karras_sigmas", "use_exponential_sigmas"])
@pytest.mark.parametrize("class_name", DETERMINISTIC)
def test_a_deterministic_sampler_has_its_order(class_name: str, formula: str, prediction: str) -> None:
    found = sampler(class_name, prediction_type=prediction, **{formula: True})
    assert slope(STEPS, [error(found, n) for n in STEPS]) == pytest.approx(DETERMINISTIC[class_name], abs=0.15)


@pytest.mark.parametrize("class_name", STOCHASTIC)
def test_a_stochastic_sampler_reaches_the_right_variance_with_its_order(class_name: str) -> None:
    found = karras(class_name)
    assert slope(STEPS, [variance_error(found, n) for n in STEPS]) == pytest.approx(STOCHASTIC[class_name][0], abs=0.25)


@pytest.mark.parametrize("class_name", [name for name, (_, order) in STOCHASTIC.items() if order])
def test_an_ancestral_sampler_without_fresh_noise_has_the_order_of_its_solver(class_name: str) -> None:
    found = karras(class_name).with_options(eta=0.0)
    assert slope(STEPS, [error(found, n) for n in STEPS]) == pytest.approx(STOCHASTIC[class_name][1], abs=0.15)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_lms_has_the_order_that_it_is_given(order: int) -> None:
    """From an exact history: a run from nothing makes its first steps with lower orders."""
    lms = karras("LMSDiscreteScheduler").with_options(order=order)
    assert slope(STEPS, [error(lms, n, history=order - 1) for n in STEPS]) == pytest.approx(order, abs=0.3)


def test_churn_reaches_the_right_variance_where_noise_comes_before_the_call() -> None:
    """Karras et al.'s algorithm 2, with Euler's steps."""
    churned = sampler("EulerDiscreteScheduler", use_karras_sigmas=True).with_options(s_churn=10.0)
    assert slope(STEPS, [variance_error(churned, n) for n in STEPS]) == pytest.approx(1, abs=0.2)
