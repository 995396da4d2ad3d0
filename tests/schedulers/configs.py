"""Hypothesis strategies for configurations in which diffusers does what is right, so that ours must agree."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from tests.schedulers.peers import SD

__all__ = ["CLASSES", "divisors", "runs", "trailing_is_sound"]

divisors = st.sampled_from([2, 4, 5, 8, 10, 20, 25, 40, 50])  # of 1000
SPACINGS = ("linspace", "leading", "trailing")


class Betas(list[float]):
    """A list that fits a test report."""

    def __repr__(self) -> str:
        return f"Betas of {self[0]} to {self[-1]}"


schedules = st.sampled_from(
    [
        SD,
        {"beta_schedule": "linear"},
        {"beta_start": 0.0001, "beta_end": 0.02, "beta_schedule": "scaled_linear"},
        {"trained_betas": Betas(np.linspace(0.0002, 0.015, 1000).tolist())},
    ]
)


def trailing_is_sound(n: int) -> bool:
    """Whether diffusers' trailing spacing gives n timesteps, and not n + 1."""
    return len(np.arange(1000, 0, -1000 / n)) == n


def _config(class_name: str, *parts: dict[str, Any]) -> dict[str, Any]:
    merged = {"_class_name": class_name}
    for part in parts:
        merged |= part
    return merged


@st.composite
def ddim(draw: st.DrawFn) -> tuple[dict[str, Any], int, float]:
    spacing = draw(st.sampled_from(["leading", "trailing"]))
    n = draw(divisors if spacing == "trailing" else st.integers(1, 50))
    own = {
        "timestep_spacing": spacing,
        "steps_offset": draw(st.integers(0, 1)),
        "prediction_type": draw(st.sampled_from(["epsilon", "v_prediction", "sample"])),
        "clip_sample": draw(st.booleans()),
        "clip_sample_range": draw(st.sampled_from([1.0, 0.7])),
        "set_alpha_to_one": draw(st.booleans()),
    }
    return _config("DDIMScheduler", draw(schedules), own), n, draw(st.sampled_from([0.0, 0.3, 1.0]))


@st.composite
def pndm(draw: st.DrawFn) -> tuple[dict[str, Any], int, float]:
    skip = draw(st.booleans())
    spacing = draw(st.sampled_from(["leading", "trailing"]))
    # Runge-Kutta midpoints agree where T // n is even.
    n = draw(divisors if spacing == "trailing" or not skip else st.integers(1, 50))
    n = n if skip or n >= 4 else 4
    n = n if skip or 1000 // n % 2 == 0 else 50
    own = {
        "timestep_spacing": spacing,
        "steps_offset": draw(st.integers(0, 1)),
        "prediction_type": draw(st.sampled_from(["epsilon", "v_prediction"])),
        "skip_prk_steps": skip,
        "set_alpha_to_one": draw(st.booleans()),
    }
    return _config("PNDMScheduler", draw(schedules), own), n, 0.0


def _spaced(draw: st.DrawFn, least_linspace: int) -> tuple[str, int]:
    spacing = draw(st.sampled_from(SPACINGS))
    n = draw(st.integers(least_linspace if spacing == "linspace" else 1, 50).filter(trailing_is_sound))
    return spacing, n


@st.composite
def euler(draw: st.DrawFn) -> tuple[dict[str, Any], int, float]:
    spacing, n = _spaced(draw, 2)
    own = {
        "timestep_spacing": spacing,
        "steps_offset": draw(st.integers(0, 1)),
        "prediction_type": draw(st.sampled_from(["epsilon", "v_prediction", "sample"])),
        # between the ends of other spacings diffusers spreads them over less than the trained range
        "use_karras_sigmas": spacing == "linspace" and draw(st.booleans()),
        "final_sigmas_type": draw(st.sampled_from(["zero", "sigma_min"])),
    }
    return _config("EulerDiscreteScheduler", draw(schedules), own), n, 0.0


@st.composite
def euler_ancestral(draw: st.DrawFn) -> tuple[dict[str, Any], int, float]:
    spacing, n = _spaced(draw, 2)
    own = {
        "timestep_spacing": spacing,
        "steps_offset": draw(st.integers(0, 1)),
        "prediction_type": draw(st.sampled_from(["epsilon", "v_prediction"])),
    }
    return _config("EulerAncestralDiscreteScheduler", draw(schedules), own), n, 0.0


@st.composite
def dpmsolver_multistep(draw: st.DrawFn) -> tuple[dict[str, Any], int, float]:
    spacing, n = _spaced(draw, 1)
    algorithm = draw(st.sampled_from(["dpmsolver++", "dpmsolver"]))
    schedule = draw(schedules)
    own = {
        "timestep_spacing": spacing,
        "steps_offset": draw(st.integers(0, 1)),
        "prediction_type": draw(st.sampled_from(["epsilon", "v_prediction", "sample"])),
        "use_karras_sigmas": draw(st.booleans()),
        "final_sigmas_type": draw(st.sampled_from(["zero", "sigma_min"])) if algorithm == "dpmsolver++" else "sigma_min",
        "solver_order": draw(st.integers(1, 3)),
        "algorithm_type": algorithm,
        "solver_type": draw(st.sampled_from(["midpoint", "heun"])),
        "lower_order_final": draw(st.booleans()),
        "euler_at_final": draw(st.booleans()),
    }
    return _config("DPMSolverMultistepScheduler", schedule, own), n, 0.0


CLASSES = {"ddim": ddim, "pndm": pndm, "euler": euler, "euler a": euler_ancestral, "dpmsolver multistep": dpmsolver_multistep}


def runs(name: str) -> st.SearchStrategy[tuple[dict[str, Any], int, float]]:
    """Configuration, steps and eta of a run."""
    return CLASSES[name]()
