"""Orders of convergence of samplers that look alpha_bar up at whole timesteps, and what stands for one where a model's jumps are exact."""

from typing import Any

import numpy as np
import pytest

from sdrt.schedulers import Plan, Sampler, State
from tests.schedulers.oracles import DEVIATION, DIVISORS, DOUBLINGS, answer, error, sampler, slope, spread


def inverted(inverse: Sampler, plan: Plan, since: float, until: float) -> float:
    """Run from the exact state at a timestep up to another; return the relative error there.

    The network is asked about the timestep to which a step leads, with the sample from which it comes.
    """
    exact, first = spread(plan), plan.timesteps.tolist().index(since) + 1
    state = State(x=exact[first : first + 1], position=first)
    while state.position < plan.num_calls and plan.timesteps[state.position] <= until:
        state = inverse.step(plan, state, answer(inverse.prediction_type, plan, state.position + 1, state.x))
    return float(abs(state.x[0] / exact[state.position] - 1))


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_ddim_inversion_is_of_order_1(prediction: str) -> None:
    """Between timesteps 400 and 800: below, the schedule's steepness hides the order."""
    inverse = sampler("DDIMInverseScheduler", clip_sample=False, prediction_type=prediction)
    assert slope(DIVISORS, [inverted(inverse, inverse.plan(n), 400, 800) for n in DIVISORS]) == pytest.approx(1, abs=0.1)


def test_ddim_leads_back_from_its_inversion() -> None:
    """A sample that is inverted and then generated again comes back, the nearer the more steps."""
    inverse, ddim = (sampler(name, clip_sample=False) for name in ("DDIMInverseScheduler", "DDIMScheduler"))
    found = []
    for n in DIVISORS:
        up, down = inverse.plan(n), ddim.plan(n)
        state = State(x=np.array([0.8]), position=0)
        while state.position < up.num_calls:
            state = inverse.step(up, state, answer("epsilon", up, state.position + 1, state.x))
        state = State(x=state.x, position=0)
        while state.position < down.num_calls:
            state = ddim.step(down, state, answer("epsilon", down, state.position, state.x))
        found.append(abs(state.x[0] / 0.8 - 1))
    assert slope(DIVISORS, found) == pytest.approx(1, abs=0.15)


def variances(stochastic: Sampler, plan: Plan, said: Any) -> np.ndarray:
    """Return the variance of x at every stop, followed without drawing anything: a step is linear in x and in fresh noise."""
    x, fresh = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    found = [spread(plan)[0] ** 2]
    for i in range(plan.num_calls):
        kept, drawn = stochastic.step(plan, State(x=x, position=i), said(plan, i, x), fresh if plan.draws[i] else None).x
        found.append(kept**2 * found[-1] + drawn**2)
    return np.array(found)


def perfect(plan: Plan, i: int, x: np.ndarray) -> np.ndarray:
    return answer("epsilon", plan, i, x)


@pytest.mark.parametrize(
    "config",
    [
        {"_class_name": "DDPMScheduler", "timestep_spacing": "trailing"},
        {"_class_name": "DDPMScheduler", "timestep_spacing": "trailing", "variance_type": "fixed_large_log"},
        {"_class_name": "UnCLIPScheduler", "beta_schedule": "squaredcos_cap_v2"},
    ],
    ids=lambda config: f"{config['_class_name']} {config.get('variance_type', '')}",
)
def test_the_posterior_reaches_the_right_variance_with_order_1(config: dict[str, Any]) -> None:
    stochastic = sampler(config["_class_name"], clip_sample=False, **{key: value for key, value in config.items() if key != "_class_name"})
    found = []
    for n in DOUBLINGS[1:]:
        plan = stochastic.plan(n)
        stop = int(np.argmax(plan.timesteps <= 400))
        found.append(abs(variances(stochastic, plan, perfect)[stop] / spread(plan)[stop] ** 2 - 1))
    assert slope(DOUBLINGS[1:], found) == pytest.approx(1, abs=0.15)


def test_ipndm_is_of_order_2() -> None:
    """Its fourth-order formula starts from a step of first order, whose error stays."""
    iplms = sampler("IPNDMScheduler")
    found = []
    for n in DOUBLINGS:
        plan = iplms.plan(n)
        found.append(error(iplms, plan, until=plan.timesteps[n // 2]))
    assert slope(DOUBLINGS, found) == pytest.approx(2, abs=0.15)


def consistent(plan: Plan, i: int, x: np.ndarray) -> np.ndarray:
    """Answer as a perfect consistency model does: its x0 is where the flow through x ends."""
    x0 = x * DEVIATION / spread(plan)[i]
    eps: np.ndarray = (x - plan.alphas[i] * x0) / plan.sigmas[i]
    return eps


@pytest.mark.parametrize("n", [1, 2, 4, 50])
def test_lcm_is_exact_for_a_consistency_model(n: int) -> None:
    """In any number of steps, within its boundary weights of 1e-5; a network that predicts the mean of x0 loses variance in every step."""
    lcm = sampler("LCMScheduler")
    plan = lcm.plan(n)
    np.testing.assert_allclose(variances(lcm, plan, consistent), spread(plan) ** 2, rtol=5e-5)
    assert variances(lcm, plan, perfect)[-1] < 0.95 * DEVIATION**2


def test_tcd_without_noise_is_of_order_1() -> None:
    tcd = sampler("TCDScheduler").with_options(eta=0.0, original_inference_steps=1000)
    assert slope(DOUBLINGS, [error(tcd, tcd.plan(n), until=400) for n in DOUBLINGS]) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("eta", [0.3, 0.8, 1.0])
@pytest.mark.parametrize("n", [1, 2, 4, 20])
def test_tcd_is_exact_for_a_trajectory_consistency_model(n: int, eta: float) -> None:
    """One that lands on the flow at the timestep s below the next one: (x0, eps) solve alpha x0 + sigma eps at both ends of the jump."""
    tcd = sampler("TCDScheduler").with_options(eta=eta)
    plan = tcd.plan(n)
    table = tcd.alpha_bar()
    assert table is not None

    def jumps(plan: Plan, i: int, x: np.ndarray) -> np.ndarray:
        after = plan.timesteps[i + 1] if i + 1 < n else 0
        signal = table[int(np.floor((1 - eta) * after))]
        here, below = (plan.alphas[i], plan.sigmas[i]), (np.sqrt(signal), np.sqrt(1 - signal))
        landed = x * np.hypot(below[0] * DEVIATION, below[1]) / spread(plan)[i]
        eps: np.ndarray = np.linalg.solve([here, below], np.stack([x, landed]))[1]
        return eps

    np.testing.assert_allclose(variances(tcd, plan, jumps), spread(plan) ** 2, rtol=1e-9)
