"""From diffusers' ``scheduler_config.json`` to a frozen sampler.

Every value is honoured or refused: a key that a class does not have is left out, as diffusers does when one class is built from another's
configuration; a value that is not built here raises, and so does a key that no diffusers scheduler has.
"""

from collections.abc import Mapping
from typing import Any

from sdrt.arrays import Numerics
from sdrt.errors import ConfigError
from sdrt.schedulers.catalogue import ALIASES, SAMPLERS, sampler_class
from sdrt.schedulers.core.sampler import Sampler
from sdrt.schedulers.core.settings import COMPATS, Compat

__all__ = ["class_names", "sampler_from_config"]

# Every key of every scheduler class, diffusers' own among them: a configuration may carry along what another class understands.
# fmt: off
_KEYS = frozenset((
    "algorithm_type", "base_image_seq_len", "base_shift", "beta_end", "beta_schedule", "beta_start", "clip_denoised", "clip_sample",
    "clip_sample_range", "corrector_order", "disable_corrector", "dynamic_thresholding_ratio", "eta", "euler_at_final",
    "final_sigmas_type", "flow_shift", "gamma", "interpolation_type", "invert_sigmas", "lambda_min_clipped", "lower_order_final",
    "max_image_seq_len", "max_shift", "noise_sampler_seed", "num_inference_steps", "num_train_timesteps", "original_inference_steps",
    "predict_x0", "prediction_type", "predictor_order", "rescale_betas_zero_snr", "restart_intervals", "rho", "s_churn", "s_max", "s_min",
    "s_noise", "sample_max_value", "scale_factors", "set_alpha_to_one", "set_alpha_to_zero", "shift", "shift_terminal", "sigma_data",
    "sigma_max", "sigma_min", "sigma_schedule", "sigma_spacing", "skip_prk_steps", "snr_shift_scale", "solver_order", "solver_p",
    "solver_type", "steps_offset", "stochastic_sampling", "tau_func", "tensor_format", "thresholding", "time_shift_type",
    "timestep_scaling", "timestep_spacing", "timestep_type", "trained_betas", "upscale_mode", "use_ays_sigmas", "use_beta_sigmas",
    "use_dynamic_shifting", "use_exponential_sigmas", "use_flow_sigmas", "use_karras_sigmas", "use_lu_lambdas", "variance_type",
))
# fmt: on


def class_names() -> tuple[str, ...]:
    """Return the class names that are built, sorted: diffusers' own, and of the same form where diffusers has none."""
    return tuple(sorted(SAMPLERS))


def sampler_from_config(config: Mapping[str, Any], numerics: Numerics = "float32", compat: Compat = None) -> Sampler:
    """Build the sampler of a diffusers configuration.

    Parameters
    ----------
    config : mapping
        The content of ``scheduler_config.json``, ``_class_name`` included. Keys that it lacks take that class's defaults.
    numerics : {"float32", "float64"}
        How tables and scalars are computed: by PyTorch's float32 recipe, or purely in float64. The samples' dtype is their own.
    compat : {"diffusers", "apple"} or None
        Whose defects to reproduce: see :mod:`sdrt.schedulers.compat`.

    Raises
    ------
    ConfigError : no class or an unknown one, a key that no scheduler has, or an unsupported value

    >>> sampler_from_config({"_class_name": "DDIMScheduler", "clip_sample": False}).plan(4).timesteps
    array([750, 500, 250,   0])
    """
    if numerics not in ("float32", "float64"):
        raise ConfigError(f"numerics must be float32 or float64, got {numerics!r}; choose one of those")
    if compat is not None and compat not in COMPATS:
        raise ConfigError(f"compat must be {' or '.join(COMPATS)}, got {compat!r}; leave it out for correct results")
    name = config.get("_class_name")
    if not isinstance(name, str) or name not in {**SAMPLERS, **ALIASES}:
        raise ConfigError(f"_class_name must be one of {', '.join(class_names())}, got {name!r}; choose one of those")
    sampler = sampler_class(name)
    values = {**sampler.keys, **_settings_for(config, sampler)}
    for key, choices in sampler.choices.items():
        if key in values and values[key] not in choices and not (values[key] is None and False in choices):
            raise ConfigError(f"{key} of {name} must be {' or '.join(map(repr, choices))}, got {values[key]!r}; change the configuration")
    return sampler.read(values, numerics, compat)


def _settings_for(config: Mapping[str, Any], sampler: type[Sampler]) -> dict[str, Any]:
    """Return the settings in a configuration that apply to this class, without those that another class merely had by default."""
    public = [key for key in config if not key.startswith("_")]
    if unknown := [key for key in public if key not in _KEYS]:
        own = ", ".join(sorted(sampler.keys))
        raise ConfigError(f"keys of {config['_class_name']} must be among {own}, got {', '.join(unknown)}; leave that out")
    defaulted = config.get("_use_default_values", ())
    return {key: config[key] for key in public if key in sampler.keys and key not in defaulted}
