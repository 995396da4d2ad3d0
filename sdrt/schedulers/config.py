"""From diffusers' ``scheduler_config.json`` to a frozen sampler.

Every value is honoured or refused: a key that a class does not have is left out, as diffusers does when one class is built from another's
configuration; a value that is not built here raises, and so does a key that no diffusers scheduler has.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sdrt.errors import ConfigError
from sdrt.schedulers.base import Sampler
from sdrt.schedulers.ddim import DDIM
from sdrt.schedulers.dpmsolver_multistep import DPMSolverMultistep
from sdrt.schedulers.euler import Euler
from sdrt.schedulers.euler_ancestral import EulerAncestral
from sdrt.schedulers.noise_schedule import NoiseSchedule, Numerics
from sdrt.schedulers.pndm import PNDM
from sdrt.schedulers.sigmas import SigmaSpacing

__all__ = ["class_names", "sampler_from_config"]

_TERMINAL = 2.0**-24  # what the sigma-based classes of diffusers put in place of a terminal alpha_bar of 0

_SCHEDULE: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_start": 0.0001,
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "trained_betas": None,
    "prediction_type": "epsilon",
    "steps_offset": 0,
}
_THRESHOLDING: dict[str, Any] = {"thresholding": False, "dynamic_thresholding_ratio": 0.995, "sample_max_value": 1.0}
_SIGMAS: dict[str, Any] = {
    "use_karras_sigmas": False,
    "use_exponential_sigmas": False,
    "use_beta_sigmas": False,
    "final_sigmas_type": "zero",
}


@dataclass(frozen=True, kw_only=True)
class _Reader:
    """How one diffusers class is read."""

    defaults: Mapping[str, Any]  # every key that the class has, as in diffusers 0.42.1
    choices: Mapping[str, tuple[Any, ...]]  # the values that are built, for keys where not every one is
    build: Callable[[Mapping[str, Any], dict[str, Any]], Sampler]  # from all values and from what the samplers have in common


def _ddim(values: Mapping[str, Any], common: dict[str, Any]) -> Sampler:
    limit = float(values["clip_sample_range"]) if values["clip_sample"] else None
    return DDIM(**common, set_alpha_to_one=values["set_alpha_to_one"], clip_sample_range=limit)


def _pndm(values: Mapping[str, Any], common: dict[str, Any]) -> Sampler:
    return PNDM(**common, skip_prk_steps=values["skip_prk_steps"], set_alpha_to_one=values["set_alpha_to_one"])


def _euler(values: Mapping[str, Any], common: dict[str, Any]) -> Sampler:
    return Euler(**common, sigma_spacing=_sigma_spacing(values), final_sigma=values["final_sigmas_type"])


def _euler_ancestral(values: Mapping[str, Any], common: dict[str, Any]) -> Sampler:  # noqa: ARG001  # has nothing of its own
    return EulerAncestral(**common)


def _dpmsolver_multistep(values: Mapping[str, Any], common: dict[str, Any]) -> Sampler:
    return DPMSolverMultistep(
        **common,
        sigma_spacing=_sigma_spacing(values),
        final_sigma=values["final_sigmas_type"],
        solver_order=values["solver_order"],
        algorithm_type=values["algorithm_type"],
        solver_type=values["solver_type"],
        lower_order_final=values["lower_order_final"],
        euler_at_final=values["euler_at_final"],
        lambda_min_clipped=float(values["lambda_min_clipped"]),
    )


def _sigma_spacing(values: Mapping[str, Any]) -> SigmaSpacing:
    if not values["use_karras_sigmas"]:
        return SigmaSpacing()
    return SigmaSpacing(kind="karras", sigma_min=values.get("sigma_min"), sigma_max=values.get("sigma_max"))


_NO_THRESHOLDING: dict[str, tuple[Any, ...]] = {"thresholding": (False,)}
_ONLY_KARRAS: dict[str, tuple[Any, ...]] = {
    "use_exponential_sigmas": (False,),
    "use_beta_sigmas": (False,),
    "final_sigmas_type": ("zero", "sigma_min"),
}

_READERS: dict[str, _Reader] = {
    DDIM.name: _Reader(
        defaults=_SCHEDULE
        | _THRESHOLDING
        | {
            "clip_sample": True,
            "clip_sample_range": 1.0,
            "set_alpha_to_one": True,
            "timestep_spacing": "leading",
            "rescale_betas_zero_snr": False,
        },
        choices=_NO_THRESHOLDING,
        build=_ddim,
    ),
    PNDM.name: _Reader(
        defaults=_SCHEDULE | {"skip_prk_steps": False, "set_alpha_to_one": False, "timestep_spacing": "leading"},
        choices={"prediction_type": ("epsilon", "v_prediction")},
        build=_pndm,
    ),
    Euler.name: _Reader(
        defaults=_SCHEDULE
        | _SIGMAS
        | {
            "interpolation_type": "linear",
            "sigma_min": None,
            "sigma_max": None,
            "timestep_spacing": "linspace",
            "timestep_type": "discrete",
            "rescale_betas_zero_snr": False,
        },
        choices=_ONLY_KARRAS | {"interpolation_type": ("linear",), "timestep_type": ("discrete",)},
        build=_euler,
    ),
    EulerAncestral.name: _Reader(
        defaults=_SCHEDULE | {"timestep_spacing": "linspace", "rescale_betas_zero_snr": False},
        choices={"prediction_type": ("epsilon", "v_prediction")},
        build=_euler_ancestral,
    ),
    DPMSolverMultistep.name: _Reader(
        defaults=_SCHEDULE
        | _THRESHOLDING
        | _SIGMAS
        | {
            "solver_order": 2,
            "algorithm_type": "dpmsolver++",
            "solver_type": "midpoint",
            "lower_order_final": True,
            "euler_at_final": False,
            "use_lu_lambdas": False,
            "use_flow_sigmas": False,
            "flow_shift": 1.0,
            "lambda_min_clipped": -math.inf,
            "variance_type": None,
            "timestep_spacing": "linspace",
            "rescale_betas_zero_snr": False,
            "use_dynamic_shifting": False,
            "time_shift_type": "exponential",
        },
        choices=_NO_THRESHOLDING
        | _ONLY_KARRAS
        | {
            "algorithm_type": ("dpmsolver++", "dpmsolver"),
            "solver_type": ("midpoint", "heun"),
            "use_lu_lambdas": (False,),
            "use_flow_sigmas": (False,),
            "variance_type": (None,),
            "use_dynamic_shifting": (False,),
        },
        build=_dpmsolver_multistep,
    ),
}

_COMMON_CHOICES: dict[str, tuple[Any, ...]] = {
    "beta_schedule": ("linear", "scaled_linear", "squaredcos_cap_v2"),
    "prediction_type": ("epsilon", "v_prediction", "sample"),
    "timestep_spacing": ("linspace", "leading", "trailing"),
}

# Keys of diffusers' other scheduler classes, which a configuration may carry along.
# fmt: off
_OTHER_KEYS = frozenset((
    "base_image_seq_len", "base_shift", "clip_denoised", "corrector_order", "disable_corrector", "eta", "gamma", "invert_sigmas",
    "max_image_seq_len", "max_shift", "noise_sampler_seed", "num_inference_steps", "original_inference_steps", "predict_x0",
    "predictor_order", "rho", "s_churn", "s_max", "s_min", "s_noise", "shift", "shift_terminal", "sigma_data", "sigma_schedule",
    "snr_shift_scale", "solver_p", "stochastic_sampling", "tau_func", "tensor_format", "timestep_scaling",
))
# fmt: on


def class_names() -> tuple[str, ...]:
    """Return the diffusers class names that are built, sorted."""
    return tuple(sorted(_READERS))


def sampler_from_config(config: Mapping[str, Any], numerics: Numerics = "float32") -> Sampler:
    """Build the sampler of a diffusers configuration.

    Parameters
    ----------
    config : mapping
        The content of ``scheduler_config.json``, ``_class_name`` included. Keys that it lacks take that class's defaults.
    numerics : {"float32", "float64"}
        How tables and scalars are computed: by PyTorch's float32 recipe, or purely in float64. The samples' dtype is their own.

    Raises
    ------
    ConfigError : no class, one that is not built, a key that no scheduler has, or a value that is not built

    >>> sampler_from_config({"_class_name": "DDIMScheduler", "clip_sample": False}).plan(4).timesteps
    array([750, 500, 250,   0])
    """
    if numerics not in ("float32", "float64"):
        raise ConfigError(f"numerics must be float32 or float64, got {numerics!r}")
    name = config.get("_class_name")
    if name not in _READERS:
        raise ConfigError(f"_class_name must name a scheduler that is built: {', '.join(class_names())}; got {name!r}")
    reader = _READERS[name]
    values = {**reader.defaults, **_given(config, reader)}
    for key, choices in {**_COMMON_CHOICES, **reader.choices}.items():
        if values[key] not in choices and not (values[key] is None and False in choices):
            raise ConfigError(f"{name} takes {key} {' or '.join(map(repr, choices))} here, got {values[key]!r}; change the configuration")
    return reader.build(values, _common(values, numerics, terminal=0.0 if name == DDIM.name else _TERMINAL))


def _given(config: Mapping[str, Any], reader: _Reader) -> dict[str, Any]:
    """Return what a configuration says to this class; values that another class merely had by default say nothing."""
    known = _OTHER_KEYS.union(*(r.defaults for r in _READERS.values()))
    public = [key for key in config if not key.startswith("_")]
    if unknown := [key for key in public if key not in known]:
        raise ConfigError(f"no scheduler has {', '.join(unknown)}; {config['_class_name']} has {', '.join(sorted(reader.defaults))}")
    defaulted = config.get("_use_default_values", ())
    return {key: config[key] for key in public if key in reader.defaults and key not in defaulted}


def _common(values: Mapping[str, Any], numerics: Numerics, terminal: float) -> dict[str, Any]:
    betas = values["trained_betas"]
    return {
        "schedule": NoiseSchedule(
            num_train_timesteps=len(betas) if betas is not None else values["num_train_timesteps"],
            beta_start=values["beta_start"],
            beta_end=values["beta_end"],
            beta_schedule=values["beta_schedule"],
            trained_betas=None if betas is None else tuple(map(float, betas)),
            rescale_betas_zero_snr=values.get("rescale_betas_zero_snr", False),
            terminal_alpha_bar=terminal,
        ),
        "prediction_type": values["prediction_type"],
        "timestep_spacing": values["timestep_spacing"],
        "steps_offset": values["steps_offset"],
        "numerics": numerics,
    }
