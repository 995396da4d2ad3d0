"""DPM-Solver's family."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from sdrt.testing.strategies.schedulers.base import SchedulerRun, bounds, chosen, config, schedules, steps

__all__ = ["RUNS"]

SPACINGS = ("leading", "trailing", "linspace")
PREDICTIONS = ("epsilon", "v_prediction", "sample", "flow_prediction")

algorithms: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [
        *(
            {"algorithm_type": plus, "final_sigmas_type": final}
            for plus in ("dpmsolver++", "sde-dpmsolver++")
            for final in ("zero", "sigma_min")
        ),
        *({"algorithm_type": other, "final_sigmas_type": "sigma_min"} for other in ("dpmsolver", "sde-dpmsolver", "deis")),
    ]
)


def often(common: dict[str, Any], *rare: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Draw a setting three times out of four, and one of others else."""
    return st.sampled_from([common] * 3 * len(rare) + list(rare))


# How the stops are chosen. Flows are drawn with formulas too, from which diffusers makes NaN.
formulas = often({}, {"use_karras_sigmas": True}, {"use_exponential_sigmas": True}, {"use_beta_sigmas": True})
lu = often({}, {"use_lu_lambdas": True})
flows = often({}, {"use_flow_sigmas": True}, {"use_flow_sigmas": True, "flow_shift": 3.0}, {"use_flow_sigmas": True, "flow_shift": 0.7})
dynamic = often({}, {"use_flow_sigmas": True, "use_dynamic_shifting": True})
clipped = often({}, {"lambda_min_clipped": -5.1}, {"lambda_min_clipped": -3.0})
variances = often({}, {}, {}, {"variance_type": "learned_range"})


@st.composite
def stops(draw: st.DrawFn, own: dict[str, Any]) -> dict[str, Any]:
    """Draw stops of a caller: timesteps that fall, some of them equal, or a number of steps with mu."""
    if own.get("use_dynamic_shifting"):
        return draw(st.sampled_from([{}, {"num_inference_steps": draw(steps), "mu": draw(st.sampled_from([0.0, 0.5, 1.15]))}]))
    if draw(st.integers(0, 7)):
        return {}
    return {"timesteps": sorted(draw(st.lists(st.integers(0, 999), min_size=1, max_size=30)), reverse=True)}


@st.composite
def dpmsolver_multistep(draw: st.DrawFn) -> SchedulerRun:
    own = draw(
        chosen(
            timestep_spacing=SPACINGS,
            steps_offset=(0, 1),
            prediction_type=PREDICTIONS,
            solver_order=(1, 2, 3),
            solver_type=("midpoint", "heun", "logrho", "bh1"),
            lower_order_final=(False, True),
            euler_at_final=(False, True),
            rescale_betas_zero_snr=(False, False, True),
        )
    )
    parts = (draw(algorithms), draw(st.one_of(formulas, lu)), draw(clipped), draw(flows), draw(dynamic), draw(variances), draw(bounds))
    made = config("DPMSolverMultistepScheduler", draw(schedules), own, *parts)
    return SchedulerRun(made, draw(steps), stops=draw(stops(made)))


@st.composite
def dpmsolver_multistep_inverse(draw: st.DrawFn) -> SchedulerRun:
    own = draw(
        chosen(
            timestep_spacing=SPACINGS,
            steps_offset=(0, 1),
            prediction_type=PREDICTIONS,
            solver_order=(1, 2, 3),
            algorithm_type=("dpmsolver++", "dpmsolver", "deis"),
            solver_type=("midpoint", "heun", "logrho"),
            lower_order_final=(False, True),
            euler_at_final=(False, True),
        )
    )
    parts = (draw(formulas), draw(clipped), draw(flows), draw(variances), draw(bounds))
    return SchedulerRun(config("DPMSolverMultistepInverseScheduler", draw(schedules), own, *parts), draw(steps))


@st.composite
def dpmsolver_singlestep(draw: st.DrawFn) -> SchedulerRun:
    own = draw(
        chosen(
            prediction_type=PREDICTIONS,
            solver_order=(1, 2, 3),
            solver_type=("midpoint", "heun", "bh2"),
            lower_order_final=(False, True),
        )
    )
    algorithm = draw(algorithms.filter(lambda a: a["algorithm_type"] != "sde-dpmsolver"))  # which the class refuses
    parts = (algorithm, draw(formulas), draw(clipped), draw(flows), draw(dynamic), draw(variances), draw(bounds))
    made = config("DPMSolverSinglestepScheduler", draw(schedules), own, *parts)
    return SchedulerRun(made, draw(steps), stops=draw(stops(made)))


@st.composite
def deis_multistep(draw: st.DrawFn) -> SchedulerRun:
    own = draw(
        chosen(
            timestep_spacing=SPACINGS,
            steps_offset=(0, 1),
            prediction_type=PREDICTIONS,
            solver_order=(1, 2, 3),
            algorithm_type=("deis", "dpmsolver++"),
            solver_type=("logrho", "midpoint"),
            lower_order_final=(False, True),
        )
    )
    parts = (draw(formulas), draw(flows), draw(dynamic), draw(bounds))
    made = config("DEISMultistepScheduler", draw(schedules), own, *parts)
    return SchedulerRun(made, draw(steps), stops=draw(with_mu(made)))


@st.composite
def with_mu(draw: st.DrawFn, own: dict[str, Any]) -> dict[str, Any]:
    """Draw a number of steps with mu, where the shift is dynamic."""
    if not own.get("use_dynamic_shifting"):
        return {}
    return {"num_inference_steps": draw(steps), "mu": draw(st.sampled_from([0.5, 0.9, 1.15]))}


@st.composite
def unipc_multistep(draw: st.DrawFn) -> SchedulerRun:
    own = draw(
        chosen(
            timestep_spacing=SPACINGS,
            steps_offset=(0, 1),
            prediction_type=PREDICTIONS,
            final_sigmas_type=("zero", "sigma_min"),
            solver_order=(1, 2, 3, 4),
            solver_type=("bh1", "bh2", "midpoint"),
            predict_x0=(True, True, False),
            lower_order_final=(False, True),
            disable_corrector=([], [], [0], [0, 1, 4]),
            rescale_betas_zero_snr=(False, False, True),
        )
    )
    ends = draw(often({}, {"sigma_min": 0.05}, {"sigma_max": 10.0}, {"sigma_min": 0.01, "sigma_max": 80.0}))
    linear = draw(st.sampled_from([{}, {"time_shift_type": "linear"}]))
    terminal = draw(often({}, {"use_flow_sigmas": True, "shift_terminal": 0.1}))
    parts = (draw(formulas), ends, draw(flows), draw(dynamic), linear, terminal, draw(bounds))
    made = config("UniPCMultistepScheduler", draw(schedules), own, *parts)
    plain = made.get("use_flow_sigmas") and not any(made.get(f"use_{kind}_sigmas") for kind in ("karras", "exponential", "beta"))
    if plain and draw(st.booleans()):
        n = draw(st.integers(2, 60))
        mu = {"mu": 0.8} if made.get("use_dynamic_shifting") else {}
        return SchedulerRun(made, n, stops={"sigmas": np.linspace(draw(st.sampled_from([1.0, 0.9])), 1 / n, n), **mu})
    return SchedulerRun(made, draw(steps), stops=draw(with_mu(made)))


@st.composite
def sa_solver(draw: st.DrawFn) -> SchedulerRun:
    own = draw(
        chosen(
            timestep_spacing=SPACINGS,
            steps_offset=(0, 1),
            prediction_type=PREDICTIONS,
            predictor_order=(1, 2, 3, 4),
            corrector_order=(1, 2, 3, 4),
            algorithm_type=("data_prediction", "noise_prediction"),
            lower_order_final=(False, True),
        )
    )
    parts = (draw(formulas), draw(clipped), draw(flows), draw(variances), draw(bounds))
    return SchedulerRun(config("SASolverScheduler", draw(schedules), own, *parts), draw(steps))


RUNS = {
    "DPMSolverMultistepScheduler": dpmsolver_multistep(),
    "DPMSolverMultistepInverseScheduler": dpmsolver_multistep_inverse(),
    "DPMSolverSinglestepScheduler": dpmsolver_singlestep(),
    "DEISMultistepScheduler": deis_multistep(),
    "UniPCMultistepScheduler": unipc_multistep(),
    "SASolverScheduler": sa_solver(),
}
