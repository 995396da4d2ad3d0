"""Samplers that choose their stops by noise-to-signal ratio, as k-diffusion does."""

import math
from typing import Any

from hypothesis import strategies as st

from sdrt.testing.strategies.schedulers.base import SchedulerRun, chosen, config, schedules, steps

__all__ = ["RUNS", "spacings"]

spacings: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [{}, {}, {"use_karras_sigmas": True}, {"use_exponential_sigmas": True}, {"use_beta_sigmas": True}]
)

EVERY_SPACING = ("leading", "trailing", "linspace")
VELOCITIES = ("epsilon", "v_prediction")

# What a caller may lay down: whole timesteps, or the ratios of all stops. They are distinct: of two equal first timesteps diffusers leaves
# one out, and so walks past the end of its tables.
timesteps = st.lists(st.integers(0, 999), min_size=1, max_size=30, unique=True).map(
    lambda found: {"timesteps": sorted(found, reverse=True)}
)
sigmas = st.lists(st.floats(0.03125, 14.5, width=32), min_size=1, max_size=30, unique=True).map(
    lambda found: {"sigmas": [*sorted(found, reverse=True), 0.0]}
)


@st.composite
def euler(draw: st.DrawFn) -> SchedulerRun:
    own = draw(
        chosen(
            timestep_spacing=EVERY_SPACING,
            steps_offset=(0, 1),
            prediction_type=("epsilon", "v_prediction", "sample", "original_sample"),
            final_sigmas_type=("zero", "sigma_min"),
            interpolation_type=("linear", "linear", "log_linear"),
            timestep_type=("discrete", "discrete", "continuous"),
            rescale_betas_zero_snr=(False, False, True),
            sigma_min=(None, None, 0.05),
            sigma_max=(None, None, 10.0),
        )
    )
    churn = draw(chosen(s_churn=(0.0, 5.0, 40.0), s_tmin=(0.0, 0.1), s_tmax=(math.inf, 8.0), s_noise=(1.0, 1.003)))
    stops = draw(st.one_of(st.just({}), st.just({}), timesteps, sigmas))
    return SchedulerRun(
        config("EulerDiscreteScheduler", draw(schedules), own, draw(spacings)), draw(steps), draw(st.sampled_from([{}, churn])), stops
    )


@st.composite
def euler_ancestral(draw: st.DrawFn) -> SchedulerRun:
    own = draw(
        chosen(
            timestep_spacing=EVERY_SPACING,
            steps_offset=(0, 1),
            prediction_type=VELOCITIES,
            rescale_betas_zero_snr=(False, False, True),
        )
    )
    return SchedulerRun(config("EulerAncestralDiscreteScheduler", draw(schedules), own), draw(steps))


@st.composite
def heun(draw: st.DrawFn) -> SchedulerRun:
    own = draw(
        chosen(
            timestep_spacing=EVERY_SPACING,
            steps_offset=(0, 1),
            prediction_type=("epsilon", "v_prediction", "sample"),
            clip_sample=(False, False, True),
            clip_sample_range=(1.0, 0.7),
        )
    )
    schedule = draw(st.one_of(schedules, st.just({"beta_schedule": "exp"})))
    stops = draw(st.one_of(st.just({}), st.just({}), timesteps))
    return SchedulerRun(config("HeunDiscreteScheduler", schedule, own, draw(spacings)), draw(steps), stops=stops)


def _midpoint(class_name: str) -> st.SearchStrategy[SchedulerRun]:
    @st.composite
    def midpoint(draw: st.DrawFn) -> SchedulerRun:
        own = draw(chosen(timestep_spacing=EVERY_SPACING, steps_offset=(0, 1), prediction_type=VELOCITIES))
        return SchedulerRun(config(class_name, draw(schedules), own, draw(spacings)), draw(steps))

    return midpoint()


@st.composite
def lms(draw: st.DrawFn) -> SchedulerRun:
    own = draw(chosen(timestep_spacing=EVERY_SPACING, steps_offset=(0, 1), prediction_type=("epsilon", "v_prediction", "sample")))
    order = draw(st.sampled_from([{}, {"order": 1}, {"order": 2}, {"order": 3}, {"order": 5}]))
    return SchedulerRun(config("LMSDiscreteScheduler", draw(schedules), own, draw(spacings)), draw(steps), order)


@st.composite
def dpmsolver_sde(draw: st.DrawFn) -> SchedulerRun:
    own = draw(chosen(timestep_spacing=EVERY_SPACING, steps_offset=(0, 1), prediction_type=VELOCITIES))
    own["noise_sampler_seed"] = draw(st.integers(0, 2**32))
    step = draw(st.sampled_from([{}, {"s_noise": 0.9}]))
    return SchedulerRun(config("DPMSolverSDEScheduler", draw(schedules), own, draw(spacings)), draw(st.integers(1, 40)), step)


RUNS = {
    "EulerDiscreteScheduler": euler(),
    "EulerAncestralDiscreteScheduler": euler_ancestral(),
    "HeunDiscreteScheduler": heun(),
    "KDPM2DiscreteScheduler": _midpoint("KDPM2DiscreteScheduler"),
    "KDPM2AncestralDiscreteScheduler": _midpoint("KDPM2AncestralDiscreteScheduler"),
    "LMSDiscreteScheduler": lms(),
    "DPMSolverSDEScheduler": dpmsolver_sde(),
}
