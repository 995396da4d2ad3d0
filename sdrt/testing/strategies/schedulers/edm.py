"""Samplers whose x is x0 + sigma * noise, around a network with scalings: EDM's own, and consistency models."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from sdrt.testing.strategies.schedulers.base import SchedulerRun, bounds, chosen, config, steps

__all__ = ["RUNS"]

_levels = chosen(sigma_min=(0.002, 0.1), sigma_max=(80.0, 120.0, 3.0), sigma_data=(0.5, 1.0), rho=(7.0, 5.0, 3.5))
_settings = st.builds(
    lambda levels, rest: levels | rest,
    _levels,
    chosen(
        sigma_schedule=("karras", "exponential"),
        prediction_type=("epsilon", "v_prediction"),
        final_sigmas_type=("zero", "sigma_min"),
        num_train_timesteps=(1000, 500),
    ),
)


@st.composite
def edm_euler(draw: st.DrawFn) -> SchedulerRun:
    step = draw(chosen(s_churn=(0.0, 0.0, 3.0, 40.0), s_tmin=(0.0, 0.05), s_tmax=(float("inf"), 50.0), s_noise=(1.0, 1.007, 0.0)))
    stops: dict[str, Any] = {}
    if draw(st.sampled_from([False, False, True])):
        positions = draw(st.lists(st.floats(0, 1), min_size=1, max_size=30, unique=True))
        stops = {"sigmas": np.array(sorted(positions))}
    return SchedulerRun(config("EDMEulerScheduler", draw(_settings)), draw(steps), step, stops)


@st.composite
def edm_dpmsolver_multistep(draw: st.DrawFn) -> SchedulerRun:
    own = draw(
        chosen(
            solver_order=(1, 2, 3),
            algorithm_type=("dpmsolver++", "dpmsolver++", "sde-dpmsolver++"),
            solver_type=("midpoint", "heun"),
            lower_order_final=(True, False),
            euler_at_final=(False, True),
        )
    )
    n = draw(st.one_of(steps, st.integers(3, 16)))  # below 15, the last two steps have orders of their own
    return SchedulerRun(config("EDMDPMSolverMultistepScheduler", draw(_settings), own, draw(bounds)), n)


@st.composite
def consistency(draw: st.DrawFn) -> SchedulerRun:
    own = draw(_levels) | draw(chosen(s_noise=(1.0, 1.007), clip_denoised=(True, False), num_train_timesteps=(40, 40, 1000)))
    last = own["num_train_timesteps"] - 1
    stops: dict[str, Any] = {}
    if draw(st.booleans()):
        stops = {"timesteps": sorted(draw(st.lists(st.integers(0, last), min_size=1, max_size=20, unique=True)), reverse=True)}
    return SchedulerRun(config("CMStochasticIterativeScheduler", own), draw(steps), stops=stops)


RUNS = {
    "EDMEulerScheduler": edm_euler(),
    "EDMDPMSolverMultistepScheduler": edm_dpmsolver_multistep(),
    "CMStochasticIterativeScheduler": consistency(),
}
