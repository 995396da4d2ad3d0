"""DPM-Solver's family."""

from hypothesis import strategies as st

from tests.schedulers.drawn.base import Drawn, chosen, config, schedules, steps

__all__ = ["DRAWN"]


@st.composite
def dpmsolver_multistep(draw: st.DrawFn) -> Drawn:
    own = draw(
        chosen(
            timestep_spacing=("leading", "trailing", "linspace"),
            steps_offset=(0, 1),
            prediction_type=("epsilon", "v_prediction", "sample"),
            final_sigmas_type=("zero", "sigma_min"),
            solver_order=(1, 2, 3),
            solver_type=("midpoint", "heun"),
            lower_order_final=(False, True),
            euler_at_final=(False, True),
        )
    )
    return Drawn(config("DPMSolverMultistepScheduler", draw(schedules), own), draw(steps))


DRAWN = {"DPMSolverMultistepScheduler": dpmsolver_multistep()}
