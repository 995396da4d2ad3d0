"""Samplers that choose their stops by noise-to-signal ratio, as k-diffusion does."""

from typing import Any

from hypothesis import strategies as st

from tests.schedulers.drawn.base import Drawn, chosen, config, schedules, steps

__all__ = ["DRAWN", "spacings"]

spacings: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [{}, {}, {"use_karras_sigmas": True}, {"use_exponential_sigmas": True}, {"use_beta_sigmas": True}]
)


@st.composite
def euler(draw: st.DrawFn) -> Drawn:
    own = draw(
        chosen(
            timestep_spacing=("leading", "trailing", "linspace"),
            steps_offset=(0, 1),
            prediction_type=("epsilon", "v_prediction", "sample"),
            final_sigmas_type=("zero", "sigma_min"),
        )
    )
    return Drawn(config("EulerDiscreteScheduler", draw(schedules), own, draw(spacings)), draw(steps))


@st.composite
def euler_ancestral(draw: st.DrawFn) -> Drawn:
    own = draw(
        chosen(timestep_spacing=("leading", "trailing", "linspace"), steps_offset=(0, 1), prediction_type=("epsilon", "v_prediction"))
    )
    return Drawn(config("EulerAncestralDiscreteScheduler", draw(schedules), own), draw(steps))


DRAWN = {"EulerDiscreteScheduler": euler(), "EulerAncestralDiscreteScheduler": euler_ancestral()}
