"""From diffusers' ``scheduler_config.json`` to a frozen sampler.

Every value is honoured or refused. A key that a class does not have is left out, as diffusers does when one class is built from another's
configuration. A key that no scheduler has is an error in a configuration that a caller writes, where it is a slip, and is left out with a
remark in one that comes from a file, where a newer program may have written it.
"""

from collections.abc import Mapping
from typing import Any

from sdrt.arrays import Numerics
from sdrt.errors import ConfigError
from sdrt.limits import DEFAULT_LIMITS, Limits
from sdrt.printable import shown
from sdrt.schedulers.catalogue import ALIASES, SAMPLERS, sampler_class
from sdrt.schedulers.core.kinds import ANY_FLAG
from sdrt.schedulers.core.sampler import Sampler
from sdrt.schedulers.core.settings import Compat
from sdrt.values import Anything, Choice, ListOf, MappingOf, Text

__all__ = ["check_keys", "class_names", "remarks_of", "sampler_from_config"]

_CONFIG = MappingOf(Anything())
_NUMERICS = Choice("float32", "float64", "exact")
_DEFAULTED = ListOf(Text(length=200))

# Every key of every scheduler class, diffusers' own among them: a configuration may carry along what another class understands.
# fmt: off
_KEYS = frozenset((
    "algorithm_type", "base_image_seq_len", "base_shift", "beta_end", "beta_schedule", "beta_start", "clip_denoised", "clip_sample",
    "clip_sample_range", "corrector_order", "disable_corrector", "dynamic_thresholding_ratio", "eta", "euler_at_final",
    "final_sigmas_type", "flow_shift", "gamma", "interpolation_type", "invert_sigmas", "lambda_min_clipped", "lower_order_final",
    "max_image_seq_len", "max_shift", "noise_sampler_seed", "num_inference_steps", "num_train_timesteps", "original_inference_steps",
    "predict_epsilon", "predict_x0", "prediction_type", "predictor_order", "rescale_betas_zero_snr", "restart_intervals", "rho",
    "s_churn", "s_max", "s_min", "s_noise", "sample_max_value", "scale_factors", "set_alpha_to_one", "set_alpha_to_zero", "shift",
    "shift_terminal", "sigma_data", "sigma_max", "sigma_min", "sigma_schedule", "sigma_spacing", "skip_prk_steps", "snr_shift_scale",
    "solver_order", "solver_p", "solver_type", "steps_offset", "stochastic_sampling", "tau_func", "tensor_format", "thresholding",
    "time_shift_type", "timestep_scaling", "timestep_spacing", "timestep_type", "timestep_values", "trained_betas", "upscale_mode",
    "use_ays_sigmas", "use_beta_sigmas", "use_dynamic_shifting", "use_exponential_sigmas", "use_flow_sigmas", "use_karras_sigmas",
    "use_lu_lambdas", "variance_type",
))
# fmt: on


def class_names() -> tuple[str, ...]:
    """Return the class names that are built, sorted: diffusers' own, and of the same form where diffusers has none."""
    return tuple(sorted(SAMPLERS))


def sampler_from_config(
    config: Mapping[str, Any],
    numerics: Numerics = "float32",
    compat: Compat = None,
    *,
    from_file: bool | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Sampler:
    """Build the sampler of a diffusers configuration.

    Parameters
    ----------
    config : mapping
        The content of ``scheduler_config.json``, ``_class_name`` included. Keys that it lacks take that class's defaults.
    numerics : {"float32", "float64", "exact"}
        How tables and scalars are computed: by PyTorch's float32 recipe, or purely in float64. The samples' dtype is their own.
    compat : {"diffusers", "apple"} or None
        Whose defects to reproduce: see :data:`sdrt.schedulers.Compat`.
    from_file : bool, optional
        Whether unknown keys are left out, of which :func:`remarks_of` tells, or are an error. By default they are left out of a
        configuration with a ``_diffusers_version``, which diffusers writes into files.
    limits : Limits
        Of which ``train_timesteps`` counts here.

    Raises
    ------
    ConfigError : no class or an unknown one, a value that is not of its key's kind, or an unknown key

    >>> sampler_from_config({"_class_name": "DDIMScheduler", "clip_sample": False}).plan(4).timesteps
    array([750, 500, 250,   0])
    >>> sampler_from_config({"_class_name": "LCMScheduler", "thresholding": "false"})
    Traceback (most recent call last):
    ...
    sdrt.errors.ConfigError: thresholding of LCMScheduler must be true or false, or null, got 'false'; correct the configuration
    """
    _NUMERICS.check("numerics", numerics, "choose one of those")
    config = _CONFIG.check("a scheduler configuration", config, "pass the content of a scheduler_config.json")
    name = config.get("_class_name")
    if not isinstance(name, str) or name not in {**SAMPLERS, **ALIASES}:
        raise ConfigError(f"_class_name must be one of {', '.join(class_names())}, got {shown(name)}; choose one of those")
    if not ("_diffusers_version" in config if from_file is None else from_file):
        check_keys(config, name)
    sampler = sampler_class(name)
    own = {
        key: sampler.kinds[key].check(f"{key} of {name}", value, "correct the configuration")
        for key, value in _settings_for(config, sampler).items()
    }
    values = {**sampler.keys, **own}
    limits.check("train_timesteps", f"num_train_timesteps of {name}", values["num_train_timesteps"])
    limits.check("train_timesteps", f"the number of trained_betas of {name}", len(values.get("trained_betas") or ()))
    return sampler.read(values, numerics, compat)


def check_keys(config: Mapping[str, Any], class_name: str) -> None:
    """Raise ConfigError for a key that no scheduler has; those that begin with an underscore are not settings."""
    if unknown := _unknown_keys(config):
        own = ", ".join(sorted(sampler_class(class_name).keys))
        raise ConfigError(f"keys of {class_name} must be among {own}, got {', '.join(map(shown, unknown))}; leave that out")


def remarks_of(config: Mapping[str, Any]) -> Mapping[str, str]:
    """Return what :func:`sampler_from_config` leaves out of a configuration that comes from a file, or reads as something else.

    Returns
    -------
    mapping from topic to one sentence

    >>> remarks_of({"_class_name": "DDIMScheduler", "_diffusers_version": "0.99.0", "use_time_travel": True})
    {'scheduler key': 'the scheduler configuration has use_time_travel, which this version does not know; it changes nothing'}
    """
    config = _CONFIG.check("a scheduler configuration", config, "pass the content of a scheduler_config.json")
    remarks = {}
    if unknown := _unknown_keys(config):
        keys = ", ".join(sorted(unknown))
        remarks["scheduler key"] = f"the scheduler configuration has {keys}, which this version does not know; it changes nothing"
    if (meant := _old_prediction(config)) is not None:
        remarks["assumed prediction_type"] = f"the scheduler configuration says predict_epsilon, as old ones do; read as {meant}"
    return remarks


def _unknown_keys(config: Mapping[str, Any]) -> list[str]:
    return [key for key in config if not key.startswith("_") and key not in _KEYS]


def _old_prediction(config: Mapping[str, Any]) -> str | None:
    """Return the prediction type that diffusers before 0.10 wrote as a flag; None where the flag says nothing more than prediction_type.

    True was the default, and stands beside velocities too; false wins over epsilon, as in the releases that read both.
    """
    predicts_epsilon = ANY_FLAG.check("predict_epsilon", config.get("predict_epsilon"), "correct the configuration")
    if predicts_epsilon is None or config.get("prediction_type") not in ((None,) if predicts_epsilon else (None, "epsilon")):
        return None
    return "epsilon" if predicts_epsilon else "sample"


def _settings_for(config: Mapping[str, Any], sampler: type[Sampler]) -> dict[str, Any]:
    """Return the settings in a configuration that apply to this class, without those that another class merely had by default."""
    defaulted = _DEFAULTED.check("_use_default_values", config.get("_use_default_values", ()), "correct the configuration")
    own = {key: value for key, value in config.items() if key in sampler.keys and key not in defaulted}
    if "prediction_type" in sampler.keys and (meant := _old_prediction(config)) is not None:
        own["prediction_type"] = meant
    return own
