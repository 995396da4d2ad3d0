"""Order of convergence against the exact solution for Gaussian data: see tests/schedulers/oracles.py."""

from dataclasses import replace

import numpy as np
import pytest

from sdrt.schedulers import Plan, Sampler, State
from sdrt.schedulers.steps.bounds import NO_BOUND
from tests.schedulers.oracles import DIVISORS, DOUBLINGS, answer, error, sampler, slope, spread


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_ddim_is_of_order_1(prediction: str) -> None:
    ddim = sampler("DDIMScheduler", clip_sample=False, prediction_type=prediction)
    assert slope(DIVISORS, [error(ddim, ddim.plan(n), until=400) for n in DIVISORS]) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("karras", [False, True])
def test_euler_is_of_order_1(karras: bool, prediction: str) -> None:
    euler = sampler("EulerDiscreteScheduler", final_sigmas_type="sigma_min", use_karras_sigmas=karras, prediction_type=prediction)
    assert slope(DOUBLINGS, [error(euler, euler.plan(n)) for n in DOUBLINGS]) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(("skip", "prediction", "order"), [(True, "epsilon", 2), (False, "epsilon", 2), (True, "v_prediction", 1)])
def test_pndm_is_of_order_2_in_noise_and_1_in_velocity(skip: bool, prediction: str, order: int) -> None:
    """To the stop at timestep 400: below, the schedule's steepness hides the order up to T steps."""
    pndm = sampler("PNDMScheduler", skip_prk_steps=skip, prediction_type=prediction)
    steps = DIVISORS[2:]
    assert slope(steps, [error(pndm, pndm.plan(n), until=400) for n in steps]) == pytest.approx(order, abs=0.1)


def _dpm(order: int, algorithm: str, solver: str) -> Sampler:
    return sampler(
        "DPMSolverMultistepScheduler",
        solver_order=order,
        algorithm_type=algorithm,
        solver_type=solver,
        use_karras_sigmas=True,
        final_sigmas_type="sigma_min",
        lower_order_final=False,
    )


@pytest.mark.parametrize("solver", ["midpoint", "heun"])
@pytest.mark.parametrize("algorithm", ["dpmsolver++", "dpmsolver"])
@pytest.mark.parametrize("order", [1, 2])
def test_dpm_solver_has_its_order(order: int, algorithm: str, solver: str) -> None:
    dpm = _dpm(order, algorithm, solver)
    assert slope(DOUBLINGS, [error(dpm, dpm.plan(n)) for n in DOUBLINGS]) == pytest.approx(order, abs=0.15)


def test_third_order_is_second_for_want_of_a_factor_two() -> None:
    """The published update, from an exact history, and the same with twice the weight of its third term."""

    def doubled(plan: Plan) -> Plan:
        calls = [replace(c, updates=tuple(replace(u, third=2 * u.third) for u in c.updates)) for c in plan.coefficients]
        return replace(plan, coefficients=tuple(calls))

    dpm, steps = _dpm(3, "dpmsolver++", "midpoint"), DOUBLINGS[1:]
    assert slope(steps, [error(dpm, dpm.plan(n), history=2) for n in steps]) == pytest.approx(2, abs=0.15)
    assert slope(steps, [error(dpm, doubled(dpm.plan(n)), history=2) for n in steps]) == pytest.approx(3, abs=0.1)


@pytest.mark.parametrize(("class_name", "eta"), [("EulerAncestralDiscreteScheduler", None), ("DDIMScheduler", 1.0), ("DDIMScheduler", 0.5)])
def test_stochastic_samplers_reach_the_right_variance_with_order_1(class_name: str, eta: float | None) -> None:
    """A step is linear here, x' = k x + c z: the variance of x is followed without drawing anything."""
    found = []
    for n in DOUBLINGS[1:]:
        stochastic = sampler(class_name, timestep_spacing="trailing")
        stochastic = replace(stochastic, bound=NO_BOUND).with_options(eta=eta) if eta is not None else stochastic  # type: ignore[call-arg]
        plan = stochastic.plan(n)
        variance = spread(plan)[0] ** 2
        stop = int(np.argmax(plan.timesteps <= 400))
        for i in range(stop):
            # Two entries: what becomes of x alone, and of fresh noise alone.
            x, fresh = np.array([1.0, 0.0]), np.array([0.0, 1.0])
            state = stochastic.step(plan, State(x=x, position=i), answer("epsilon", plan, i, x), fresh)
            variance = state.x[0] ** 2 * variance + state.x[1] ** 2
        found.append(abs(variance / spread(plan)[stop] ** 2 - 1))
    assert slope(DOUBLINGS[1:], found) == pytest.approx(1, abs=0.1)
