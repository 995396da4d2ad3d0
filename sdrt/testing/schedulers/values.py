"""Values to try for every setting that samplers declare, and for the options of their steps."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sdrt.schedulers.core.kinds import ANY_FLAG
from sdrt.schedulers.core.sampler import Sampler
from sdrt.values import Choice, Flag

__all__ = ["COMPANIONS", "STABLE_DIFFUSION", "STEP_OPTIONS", "Betas", "values_of"]

# Stable Diffusion 1.x
STABLE_DIFFUSION: Mapping[str, Any] = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


class Betas(list[float]):
    """A list of betas that fits into a message."""

    def __repr__(self) -> str:
        return f"Betas of {self[0]:g} to {self[-1]:g}"


# Settings that are numbers. Those that are not here are left as they are: seeds, and sizes that only pipelines read.
_NUMBERS: Mapping[str, Sequence[Any]] = {
    "beta_start": (0.0001, 0.00085),
    "beta_end": (0.02, 0.012),
    "trained_betas": (None, Betas(np.linspace(0.0002, 0.015, 1000).tolist())),
    "steps_offset": (0, 1),
    "clip_sample_range": (1.0, 0.7),
    "dynamic_thresholding_ratio": (0.995, 0.8),
    "sample_max_value": (1.0, 1.7),
    "original_inference_steps": (50, 40, 100),
    "timestep_scaling": (10.0, 0.01),
    "sigma_min": (0.002, 0.1),
    "sigma_max": (80.0, 20.0),
    "sigma_data": (0.5, 1.0),
    "rho": (7.0, 5.0),
    "s_noise": (1.0, 1.007),
    "lambda_min_clipped": (-math.inf, -5.1),
    "flow_shift": (1.0, 3.0),
    "solver_order": (1, 2, 3),
    "shift": (1.0, 3.0),
    "shift_terminal": (None, 0.1),
    "disable_corrector": ([], [0]),
    "predictor_order": (1, 2, 3),
    "corrector_order": (1, 2, 3),
    "num_train_timesteps": (1000, 400),
    "restart_intervals": (None, [[0.1, 2.0, 4, 2]]),
}

# Which other settings a setting needs to have an effect, or to be allowed.
COMPANIONS: Mapping[str, Mapping[str, Any]] = {
    "clip_sample_range": {"clip_sample": True},
    "dynamic_thresholding_ratio": {"thresholding": True},
    "sample_max_value": {"thresholding": True},
    "use_flow_sigmas": {"prediction_type": "flow_prediction"},
    "flow_shift": {"use_flow_sigmas": True, "prediction_type": "flow_prediction"},
    "shift_terminal": {"use_flow_sigmas": True, "prediction_type": "flow_prediction"},
    "use_dynamic_shifting": {"use_flow_sigmas": True, "prediction_type": "flow_prediction"},
    "algorithm_type": {"final_sigmas_type": "sigma_min"},
    "rescale_betas_zero_snr": {"prediction_type": "v_prediction", "timestep_spacing": "trailing"},
    "beta_start": {"beta_schedule": "scaled_linear"},
    "beta_end": {"beta_schedule": "scaled_linear"},
    "lambda_min_clipped": {"beta_schedule": "squaredcos_cap_v2"},
}

# Values for which diffusers 0.42 gives NaN (the root of a logarithm), or cannot make a step (an output with a variance, by class).
_UNUSABLE = [("DDPMScheduler", "fixed_large_log"), ("SASolverScheduler", "learned"), ("SASolverScheduler", "learned_range")]

# Options of step, where a sampler has them; each is tried with the others at their defaults.
STEP_OPTIONS: Mapping[str, Sequence[Any]] = {
    "eta": (0.0, 0.5, 1.0),
    "use_clipped_model_output": (True,),
    "s_churn": (20.0,),
    "s_noise": (0.9,),
    "order": (1, 3),
}


def values_of(sampler: type[Sampler], key: str) -> tuple[Any, ...]:
    """Return the values to try for a setting; none where it has no other that could change a number."""
    kind = sampler.kinds[key]
    if isinstance(kind, Choice):
        return tuple(choice for choice in kind.choices if (sampler.name, choice) not in _UNUSABLE)
    if isinstance(kind, Flag) or kind == ANY_FLAG:
        return (False, True)
    return tuple(_NUMBERS.get(key, ()))
