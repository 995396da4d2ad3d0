"""What samplers are measured against without a network's weights: a perfect network for Gaussian data, and the exact solution.

For data of deviation s, the best prediction is x0 = x * alpha s^2 / (alpha^2 s^2 + sigma^2), and along the flow x is proportional to
sqrt(alpha^2 s^2 + sigma^2).
"""

from typing import Any

import numpy as np

from sdrt.schedulers import Plan, Sampler, State, sampler_from_config
from tests.schedulers.peers import SD

__all__ = [
    "DEVIATION",
    "DIVISORS",
    "DOUBLINGS",
    "FULL",
    "WITH_END",
    "answer",
    "error",
    "perfect_output",
    "run_variance_error",
    "sampler",
    "slope",
    "spread",
    "variance_error",
    "variance_order",
]

DEVIATION = 0.7
DIVISORS = (20, 25, 40, 50, 100, 125, 200, 250)  # of 1000
DOUBLINGS = (20, 40, 80, 160, 320)

# Full orders from the first call to the last, over Karras levels that end at the smallest trained one.
FULL: dict[str, Any] = {"use_karras_sigmas": True, "lower_order_final": False}
WITH_END = FULL | {"final_sigmas_type": "sigma_min"}


def sampler(class_name: str, **config: Any) -> Sampler:
    return sampler_from_config({"_class_name": class_name, **SD, **config}, "float64")


def spread(plan: Plan) -> np.ndarray:
    """Return the deviation of x at each stop."""
    return np.sqrt(plan.alphas**2 * DEVIATION**2 + plan.sigmas**2)


def answer(kind: str, plan: Plan, i: int, x: np.ndarray) -> np.ndarray:
    """Return what a perfect network says at stop i."""
    alpha, sigma, variance = plan.alphas[i], plan.sigmas[i], spread(plan)[i] ** 2
    x0, eps = x * alpha * DEVIATION**2 / variance, x * sigma / variance
    found: np.ndarray = {"epsilon": eps, "v_prediction": alpha * eps - sigma * x0, "sample": x0}[kind]
    return found


def error(sampler: Sampler, plan: Plan, until: float = -1.0, history: int = 0) -> float:
    """Run from the exact state at a stop, with an exact history, down to a timestep; return the relative error there."""
    exact = spread(plan)
    past = tuple(answer("sample", plan, i, exact[i : i + 1]) for i in range(history))
    state = State(x=exact[history : history + 1], position=history, history=past)
    while state.position < plan.num_calls and plan.timesteps[state.position] > until:
        i = state.position
        state = sampler.step(plan, state, answer(sampler.prediction_type, plan, i, state.x))
    return float(abs(state.x[0] / exact[state.position] - 1))


def slope(steps: tuple[int, ...], errors: list[float]) -> float:
    return float(-np.polyfit(np.log(steps), np.log(errors), 1)[0])


def perfect_output(sampler: Sampler, plan: Plan, i: int, x: np.ndarray, x0: np.ndarray) -> np.ndarray:
    """What a network says at a stop that knows the picture, in the terms that this sampler's network is read in."""
    of_x, of_output = sampler.x0_weights(float(plan.alphas[i]), float(plan.sigmas[i]))
    return (x0 - of_x * x) / of_output


def variance_error(sampler: Sampler, plan: Plan, first: int, last: int) -> float:
    """Run from the exact variance at a stop to another one; return the relative error of the variance there.

    A run is linear here, so that x is a vector: what stands before the sample at the start, and before each call's fresh noise. Nothing is
    drawn, and the variance is that of all possible draws.
    """
    exact = spread(plan)
    state = State(x=np.eye(last - first + 1)[0] * exact[first], position=first)
    while state.position < last:
        i = state.position
        fresh = np.eye(last - first + 1)[i - first + 1]
        state = sampler.step(plan, state, answer("epsilon", plan, i, state.x), fresh)
    return abs(float((state.x**2).sum()) / float(exact[last]) ** 2 - 1)


def variance_order(sampler: Sampler) -> float:
    """Between timesteps 800 and 200, where SA-Solver draws too."""
    errors = []
    for n in DOUBLINGS[1:]:
        plan = sampler.plan(n)
        first, last = (int(np.argmax(plan.timesteps <= t)) for t in (800, 200))
        errors.append(variance_error(sampler, plan, first, last))
    return slope(DOUBLINGS[1:], errors)


def draws(plan: Plan, first: int, calls: int) -> np.ndarray:
    """Return each call's noise in a step, as a sum of independent ones: f64[calls, calls].

    Brownian increments from one ratio to two others share the way to the nearer.
    """
    if plan.span is None or calls == 1:
        return np.eye(calls)
    (now, middle), (_, then) = plan.intervals[first], plan.intervals[first + 1]
    return np.array([[1, 0], [np.sqrt((now - middle) / (now - then)), np.sqrt((middle - then) / (now - then))]])


def run_variance_error(sampler: Sampler, n: int) -> float:
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
