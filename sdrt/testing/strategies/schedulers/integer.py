"""Samplers that look alpha_bar up at whole timesteps."""

from typing import Any

from hypothesis import strategies as st

from sdrt.testing.strategies.schedulers.base import SchedulerRun, bounds, chosen, config, schedules, steps

__all__ = ["RUNS"]

PREDICTIONS = ("epsilon", "v_prediction", "sample")

further_schedules: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [{"beta_schedule": "sigmoid", "beta_start": 1e-7, "beta_end": 2e-3}, {"beta_schedule": "laplace"}, {"beta_schedule": "exp"}]
)


@st.composite
def ddim(draw: st.DrawFn) -> SchedulerRun:
    own = draw(
        chosen(
            timestep_spacing=("leading", "trailing", "linspace"),
            steps_offset=(0, 1),
            prediction_type=PREDICTIONS,
            clip_sample=(False, True),
            clip_sample_range=(1.0, 0.7),
            set_alpha_to_one=(False, True),
            rescale_betas_zero_snr=(False, False, True),
        )
    )
    step = draw(chosen(eta=(0.0, 0.3, 1.0), use_clipped_model_output=(False, False, True)))
    return SchedulerRun(config("DDIMScheduler", draw(schedules), own, draw(bounds)), draw(steps), step)


@st.composite
def ddim_inverse(draw: st.DrawFn) -> SchedulerRun:
    own = draw(
        chosen(
            timestep_spacing=("leading", "trailing", "leading", "trailing", "linspace"),  # diffusers has no linspace here
            steps_offset=(0, 1),
            prediction_type=PREDICTIONS,
            clip_sample=(False, True),
            clip_sample_range=(1.0, 0.7),
            set_alpha_to_one=(False, True),
            rescale_betas_zero_snr=(False, False, True),
        )
    )
    return SchedulerRun(config("DDIMInverseScheduler", draw(schedules), own), draw(steps))


@st.composite
def descending(draw: st.DrawFn) -> list[int]:
    """Draw timesteps that a caller lays down."""
    return sorted(draw(st.sets(st.integers(0, 999), min_size=1, max_size=40)), reverse=True)


@st.composite
def ddpm(draw: st.DrawFn) -> SchedulerRun:
    own = draw(
        chosen(
            timestep_spacing=("leading", "trailing", "linspace"),
            steps_offset=(0, 1),
            prediction_type=PREDICTIONS,
            variance_type=("fixed_small", "fixed_small_log", "fixed_large", "fixed_large_log", "learned", "learned_range"),
            clip_sample=(False, True),
            clip_sample_range=(1.0, 0.7),
            rescale_betas_zero_snr=(False, False, True),
        )
    )
    stops = draw(st.one_of(st.just({}), st.just({}), st.builds(lambda t: {"timesteps": t}, descending())))
    return SchedulerRun(config("DDPMScheduler", draw(st.one_of(schedules, further_schedules)), own, draw(bounds)), draw(steps), stops=stops)


@st.composite
def pndm(draw: st.DrawFn) -> SchedulerRun:
    own = draw(
        chosen(
            timestep_spacing=("leading", "trailing", "linspace"),
            steps_offset=(0, 1),
            prediction_type=("epsilon", "v_prediction"),
            skip_prk_steps=(False, True),
            set_alpha_to_one=(False, True),
        )
    )
    return SchedulerRun(config("PNDMScheduler", draw(schedules), own), draw(steps))


@st.composite
def ipndm(draw: st.DrawFn) -> SchedulerRun:
    n = draw(steps)
    betas = draw(st.sampled_from([None, None, [0.99, 0.9, 0.7, 0.2, 0.05, 0.0]]))
    return SchedulerRun(config("IPNDMScheduler", {"trained_betas": betas}), n)


@st.composite
def distilled_stops(draw: st.DrawFn, n: int) -> dict[str, Any]:
    """Draw what LCM and TCD take in set_timesteps."""
    further: dict[str, Any] = draw(
        st.sampled_from([{}, {}, {"strength": 0.6}, {"original_inference_steps": 100}, {"original_inference_steps": 300, "strength": 0.8}])
    )
    return further | ({"timesteps": draw(descending())} if draw(st.integers(0, 2)) == 0 else {"num_inference_steps": n})


distilled = chosen(
    prediction_type=PREDICTIONS,
    original_inference_steps=(50, 40, 100),
    clip_sample=(False, True),
    clip_sample_range=(1.0, 0.7),
    set_alpha_to_one=(False, True),
    timestep_spacing=("leading", "trailing"),
    timestep_scaling=(10.0, 0.01),
    steps_offset=(0, 1),
    rescale_betas_zero_snr=(False, False, True),
)


@st.composite
def lcm(draw: st.DrawFn) -> SchedulerRun:
    n = draw(st.one_of(st.integers(1, 12), steps))
    return SchedulerRun(config("LCMScheduler", draw(schedules), draw(distilled), draw(bounds)), n, stops=draw(distilled_stops(n)))


@st.composite
def tcd(draw: st.DrawFn) -> SchedulerRun:
    n = draw(st.one_of(st.integers(1, 12), steps))
    step = draw(chosen(eta=(0.3, 0.0, 0.7, 1.0)))
    return SchedulerRun(config("TCDScheduler", draw(schedules), draw(distilled), draw(bounds)), n, step, draw(distilled_stops(n)))


@st.composite
def unclip(draw: st.DrawFn) -> SchedulerRun:
    own = draw(
        chosen(
            variance_type=("fixed_small_log", "learned_range"),
            clip_sample=(False, True),
            clip_sample_range=(1.0, 0.7),
            prediction_type=("epsilon", "sample"),
        )
    )
    return SchedulerRun(config("UnCLIPScheduler", own), draw(steps))


RUNS = {
    "DDIMScheduler": ddim(),
    "DDIMInverseScheduler": ddim_inverse(),
    "DDPMScheduler": ddpm(),
    "PNDMScheduler": pndm(),
    "IPNDMScheduler": ipndm(),
    "LCMScheduler": lcm(),
    "TCDScheduler": tcd(),
    "UnCLIPScheduler": unclip(),
}
