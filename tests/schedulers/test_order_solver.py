"""Orders of convergence of DPM-Solver's family, against the same oracle as elsewhere: tests/schedulers/oracles.py."""

import pytest

from sdrt.schedulers import Sampler
from tests.schedulers.oracles import DOUBLINGS, FULL, WITH_END, error, sampler, slope, variance_order


def measured(sampler: Sampler, steps: tuple[int, ...] = DOUBLINGS) -> float:
    return slope(steps, [error(sampler, sampler.plan(n)) for n in steps])


@pytest.mark.parametrize("solver", ["midpoint", "heun"])
@pytest.mark.parametrize("algorithm", ["dpmsolver++", "dpmsolver"])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_single_step_dpm_solver_has_its_order(order: int, algorithm: str, solver: str) -> None:
    """In calls, of which a step of order k takes k."""
    dpm = sampler("DPMSolverSinglestepScheduler", solver_order=order, algorithm_type=algorithm, solver_type=solver, **WITH_END)
    assert measured(dpm) == pytest.approx(order, abs=0.25)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_deis_has_its_order(order: int) -> None:
    assert measured(sampler("DEISMultistepScheduler", solver_order=order, **FULL)) == pytest.approx(order, abs=0.2)


@pytest.mark.parametrize("bh", ["bh1", "bh2"])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_unipc_gains_an_order_by_its_corrector(order: int, bh: str) -> None:
    """Over x0; in steps of a length at which the rounding of float64 does not show."""
    unipc = sampler("UniPCMultistepScheduler", solver_order=order, solver_type=bh, **WITH_END)
    alone = sampler("UniPCMultistepScheduler", solver_order=order, solver_type=bh, disable_corrector=list(range(999)), **WITH_END)
    assert measured(alone) == pytest.approx(order, abs=0.15)
    assert measured(unipc) == pytest.approx(order + 1, abs=0.1)


@pytest.mark.parametrize("order", [1, 2])
def test_unipc_has_its_order_over_the_noise(order: int) -> None:
    unipc = sampler("UniPCMultistepScheduler", solver_order=order, predict_x0=False, **WITH_END)
    assert measured(unipc) == pytest.approx(order + 1, abs=0.15)


@pytest.mark.parametrize("solver", ["midpoint", "heun"])
@pytest.mark.parametrize(
    ("algorithm", "order", "reached"),
    [
        ("sde-dpmsolver++", 1, 1),
        ("sde-dpmsolver++", 2, 2),
        ("sde-dpmsolver++", 3, 2.9),
        ("sde-dpmsolver", 1, 1),
        ("sde-dpmsolver", 2, 1.9),
        ("sde-dpmsolver", 3, 2.05),
    ],
)
def test_stochastic_dpm_solver_reaches_the_right_variance(algorithm: str, order: int, reached: float, solver: str) -> None:
    dpm = sampler("DPMSolverMultistepScheduler", solver_order=order, algorithm_type=algorithm, solver_type=solver, **WITH_END)
    assert variance_order(dpm) == pytest.approx(reached, abs=0.15)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_stochastic_single_steps_reach_the_right_variance_with_order_1(order: int) -> None:
    """The calls within a step draw noise of their own, which the step's end does not know."""
    dpm = sampler("DPMSolverSinglestepScheduler", solver_order=order, algorithm_type="sde-dpmsolver++", solver_type="heun", **WITH_END)
    assert variance_order(dpm) == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("algorithm", ["data_prediction", "noise_prediction"])
@pytest.mark.parametrize(("orders", "reached"), [((1, 2), 2), ((2, 2), 2.1), ((2, 1), 0.95), ((3, 3), 2.65)])
def test_sa_solver_reaches_the_right_variance(orders: tuple[int, int], reached: float, algorithm: str) -> None:
    """With the order of its corrector, up to 2; the noise of tau = 1 allows little more."""
    sa = sampler("SASolverScheduler", predictor_order=orders[0], corrector_order=orders[1], algorithm_type=algorithm, **FULL)
    assert variance_order(sa) == pytest.approx(reached, abs=0.15)
