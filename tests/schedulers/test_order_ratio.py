"""Order of convergence of the samplers that choose their stops by ratio, on the Gaussian data of tests/schedulers/oracles.py.

Runs go to the beginning of the last step: that one leads to no noise, by x0 alone, with an error that no number of steps makes smaller.
"""

from typing import Any

import numpy as np
import pytest

from sdrt.schedulers import Sampler, State
from tests.schedulers.oracles import answer, run_variance_error, sampler, slope, spread

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


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("formula", ["use_karras_sigmas", "use_exponential_sigmas"])
@pytest.mark.parametrize("class_name", DETERMINISTIC)
def test_a_deterministic_sampler_has_its_order(class_name: str, formula: str, prediction: str) -> None:
    found = sampler(class_name, prediction_type=prediction, **{formula: True})
    assert slope(STEPS, [error(found, n) for n in STEPS]) == pytest.approx(DETERMINISTIC[class_name], abs=0.15)


@pytest.mark.parametrize("class_name", STOCHASTIC)
def test_a_stochastic_sampler_reaches_the_right_variance_with_its_order(class_name: str) -> None:
    found = karras(class_name)
    assert slope(STEPS, [run_variance_error(found, n) for n in STEPS]) == pytest.approx(STOCHASTIC[class_name][0], abs=0.25)


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
    assert slope(STEPS, [run_variance_error(churned, n) for n in STEPS]) == pytest.approx(1, abs=0.2)
