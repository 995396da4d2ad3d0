"""Samplers that look alpha_bar up at whole timesteps."""

from hypothesis import strategies as st

from tests.schedulers.drawn.base import Drawn, bounds, chosen, config, schedules, steps

__all__ = ["DRAWN"]


@st.composite
def ddim(draw: st.DrawFn) -> Drawn:
    own = draw(
        chosen(
            timestep_spacing=("leading", "trailing", "linspace"),
            steps_offset=(0, 1),
            prediction_type=("epsilon", "v_prediction", "sample"),
            clip_sample=(False, True),
            clip_sample_range=(1.0, 0.7),
            set_alpha_to_one=(False, True),
            rescale_betas_zero_snr=(False, False, True),
        )
    )
    step = draw(chosen(eta=(0.0, 0.3, 1.0), use_clipped_model_output=(False, False, True)))
    return Drawn(config("DDIMScheduler", draw(schedules), own, draw(bounds)), draw(steps), step)


DRAWN = {"DDIMScheduler": ddim()}
