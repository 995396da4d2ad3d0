"""DPM-Solver's family."""

from typing import Any

from hypothesis import strategies as st

from tests.schedulers.drawn.base import Drawn, bounds, chosen, config, schedules, steps

__all__ = ["DRAWN"]

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
    """Stops of a caller: timesteps that fall, some of them equal, or a number of steps with mu."""
    if own.get("use_dynamic_shifting"):
        return draw(st.sampled_from([{}, {"num_inference_steps": draw(steps), "mu": draw(st.sampled_from([0.0, 0.5, 1.15]))}]))
    if draw(st.integers(0, 7)):
        return {}
    return {"timesteps": sorted(draw(st.lists(st.integers(0, 999), min_size=1, max_size=30)), reverse=True)}


@st.composite
def dpmsolver_multistep(draw: st.DrawFn) -> Drawn:
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
    return Drawn(made, draw(steps), stops=draw(stops(made)))


DRAWN = {"DPMSolverMultistepScheduler": dpmsolver_multistep()}
