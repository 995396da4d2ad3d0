"""Samplers of rectified flows."""

from typing import Any

from hypothesis import strategies as st

from sdrt.testing.strategies.schedulers.base import SchedulerRun, chosen, config, steps

__all__ = ["RUNS"]

_SHIFTS = (1.0, 3.0, 0.5, 7.0)

_formulas: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [{}, {}, {"use_karras_sigmas": True}, {"use_exponential_sigmas": True}, {"use_beta_sigmas": True}]
)

_settings = chosen(
    shift=_SHIFTS,
    use_dynamic_shifting=(False, True),
    time_shift_type=("exponential", "linear"),
    shift_terminal=(None, None, 0.1, 0.02),
    invert_sigmas=(False, False, True),
    num_train_timesteps=(1000, 1000, 400),
)


def _falling(draw: st.DrawFn, n: int, top: float) -> list[float]:
    """Draw n different numbers in (0, top], falling."""
    found = draw(st.lists(st.integers(1, 1000), min_size=n, max_size=n, unique=True))
    return [k * top / 1000 for k in sorted(found, reverse=True)]


@st.composite
def _stops(draw: st.DrawFn, n: int, own: dict[str, Any]) -> dict[str, Any]:
    """Draw what set_timesteps is told: n, or levels, timesteps or both, and mu where the shift is dynamic."""
    told: dict[str, Any] = {"num_inference_steps": n}
    given = draw(st.sampled_from(["n", "n", "sigmas", "timesteps", "both"]))
    n = min(n, 30)
    if given != "n":
        told = {}
    if given in ("sigmas", "both"):
        told["sigmas"] = _falling(draw, n, 1.0)
    if given in ("timesteps", "both"):
        told["timesteps"] = _falling(draw, n, own["num_train_timesteps"])
    if own["use_dynamic_shifting"] or draw(st.booleans()):
        told["mu"] = draw(st.sampled_from([0.5, 1.15, 0.8]))
    return told


@st.composite
def flow_euler(draw: st.DrawFn) -> SchedulerRun:
    own = draw(_settings) | draw(chosen(stochastic_sampling=(False, False, True)))
    n = draw(steps)
    return SchedulerRun(config("FlowMatchEulerDiscreteScheduler", own, draw(_formulas)), n, stops=draw(_stops(n, own)))


@st.composite
def flow_heun(draw: st.DrawFn) -> SchedulerRun:
    own = draw(chosen(shift=_SHIFTS, num_train_timesteps=(1000, 1000, 400)))
    step = draw(chosen(s_churn=(0.0, 0.0, 3.0, 40.0), s_tmin=(0.0, 0.2), s_tmax=(float("inf"), 0.8), s_noise=(1.0, 1.007, 0.0)))
    return SchedulerRun(config("FlowMatchHeunDiscreteScheduler", own), draw(steps), step)


@st.composite
def flow_lcm(draw: st.DrawFn) -> SchedulerRun:
    own, n = draw(_settings), draw(steps)
    return SchedulerRun(config("FlowMatchLCMScheduler", own, draw(_formulas)), n, stops=draw(_stops(n, own)))


RUNS = {
    "FlowMatchEulerDiscreteScheduler": flow_euler(),
    "FlowMatchHeunDiscreteScheduler": flow_heun(),
    "FlowMatchLCMScheduler": flow_lcm(),
}
