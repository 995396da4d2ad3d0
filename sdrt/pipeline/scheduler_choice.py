"""Choose the scheduler of a call, and lay out its run."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from sdrt.arrays import Array, Numerics
from sdrt.errors import ConfigError
from sdrt.limits import DEFAULT_LIMITS, Limits
from sdrt.log import log
from sdrt.models import Model
from sdrt.pipeline.options import SchedulerChoice
from sdrt.schedulers import (
    Compat,
    DiffusersScheduler,
    Plan,
    Sampler,
    class_names,
    name_of,
    remarks_of,
    sampler_from_config,
    sampler_from_name,
)
from sdrt.schedulers.grids.flow_shift import mu_of_size
from sdrt.values import Anything, MappingOf

__all__ = ["beyond_config", "choose_sampler", "image_seq_len", "lay_out", "network_timesteps", "scheduler_name", "scheduler_remarks"]

_RECORDED = MappingOf(Anything())

# Side, in latents, of the patches by which a dynamic shift counts sizes: those of SD3 and FLUX.
_PATCH = 2

# The keys of a configuration that define its dynamic shift.
_SHIFT_KEYS = ("base_shift", "max_shift", "base_image_seq_len", "max_image_seq_len")


def choose_sampler(
    model: Model,
    scheduler: SchedulerChoice | None,
    numerics: Numerics,
    compat: Compat = None,
    eta: float | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Sampler:
    """Return the sampler of a call.

    Parameters
    ----------
    scheduler : str, mapping, Sampler, DiffusersScheduler, a scheduler object of diffusers, or None
        As :meth:`sdrt.Pipeline.generate` takes it. Of a mapping, a key that no scheduler has is an error, unless the mapping has a
        ``_diffusers_version`` and so comes from a file: then it is left out, as in the model's own, and :func:`scheduler_remarks` tells.
    compat : Compat
        The implementation whose bugs it reproduces; None keeps the sampler's own.
    eta : float or None
        None keeps the sampler's own.
    limits : Limits

    Raises
    ------
    ConfigError : an unknown name, a sampler for another kind of model or of other numerics than exact ones, or an option that the sampler
        lacks
    """
    sampler = _sampler(model, scheduler, numerics, compat, limits)
    if numerics == "exact" != sampler.numerics:
        raise ConfigError(
            f"scheduler must be exact in an exact pipeline, got {sampler.name} of {sampler.numerics}; make it with numerics='exact'"
        )
    if sampler.inverse:
        raise ConfigError(
            f"scheduler must lead from noise to a picture, got {sampler.name}, which goes from a picture to its noise; choose another one"
        )
    if compat is not None and sampler.compat != compat:
        sampler = sampler.with_compat(compat)
    return sampler if eta is None else sampler.with_options(eta=eta)


def _sampler(model: Model, scheduler: Any, numerics: Numerics, compat: Compat, limits: Limits) -> Sampler:
    own = model.scheduler_config
    match scheduler:
        case None:
            return sampler_from_config(own, numerics, compat, from_file=True, limits=limits)
        case str():
            named = sampler_from_name(scheduler, own, numerics, compat, from_file=True, limits=limits)
            if _has_schedule(named) != _has_schedule(sampler_from_config(own, from_file=True, limits=limits)):
                raise ConfigError(
                    f"scheduler must fit this model, which was trained for {own.get('_class_name')}, got {named.name}; "
                    "choose another name, or pass a whole scheduler configuration"
                )
            return named
        case Mapping():
            return _configured(scheduler, numerics, compat, limits)
        case DiffusersScheduler():
            return scheduler.sampler
        case Sampler():
            return scheduler
    if (config := _config_of_object(scheduler)) is not None:
        return sampler_from_config(config, numerics, compat, from_file=True, limits=limits)
    raise ConfigError(
        f"scheduler must be a name, a configuration, or an object of sdrt.schedulers or of diffusers, got {type(scheduler).__name__}; "
        "pass one of those"
    )


def _has_schedule(sampler: Sampler) -> bool:
    """Whether a sampler is for networks that were trained on the timesteps of a noise schedule, and not on noise levels."""
    return not sampler.grid.is_flow and sampler.alpha_bar() is not None


def _configured(config: Mapping[str, Any], numerics: Numerics, compat: Compat, limits: Limits) -> Sampler:
    """Return the sampler of a caller's configuration, or of a recorded one."""
    recorded = _RECORDED.check("_sdrt of a scheduler configuration", config.get("_sdrt", {}))
    options = _RECORDED.check("the options in _sdrt of a scheduler configuration", recorded.get("options", {}))
    name = config.get("_class_name")
    if recorded and isinstance(name, str) and name not in class_names():
        raise ConfigError(f"scheduler {name} is a class that sdrt does not have, so the record cannot build it; pass an object of it")
    return sampler_from_config(config, options.pop("numerics", numerics), compat, limits=limits).with_options(**options)


def _config_of_object(scheduler: object) -> Mapping[str, Any] | None:
    """Return the configuration of a scheduler object of diffusers; None for other objects.

    A class from elsewhere, a subclass of theirs among them, may step otherwise than its configuration says.
    """
    config = getattr(scheduler, "config", None)
    if not isinstance(config, Mapping) or type(scheduler).__module__.partition(".")[0] != "diffusers":
        return None
    return {"_class_name": type(scheduler).__name__, **config}


def scheduler_remarks(model: Model, scheduler: Any) -> Mapping[str, str]:
    """Return what reading the scheduler of a call has left out or assumed; :func:`choose_sampler` has accepted it."""
    match scheduler:
        case None | str():
            return remarks_of(model.scheduler_config)
        case Mapping():
            return remarks_of(scheduler)
        case Sampler() | DiffusersScheduler():
            return {}
    config = _config_of_object(scheduler) or {}
    own = {"scheduler object": f"the scheduler object of diffusers is read from its configuration as {config.get('_class_name')}"}
    return {**own, **remarks_of(config)}


def scheduler_name(model: Model, sampler: Sampler) -> str:
    """Return the name that is recorded: the same for all ways to choose the same sampler."""
    return name_of(sampler, model.scheduler_config)


def beyond_config(
    scheduler: SchedulerChoice | None, sampler: Sampler, numerics: Numerics, limits: Limits = DEFAULT_LIMITS
) -> dict[str, Any]:
    """Return the options that distinguish a sampler from the one that its configuration builds; eta has a setting of its own."""
    if scheduler is None or isinstance(scheduler, str):
        return {}
    own = _options_of(sampler)
    # a class from outside has no configuration that builds it: all that it was given is recorded
    known = sampler.config["_class_name"] in class_names()
    plain = _options_of(sampler_from_config(sampler.config, numerics, sampler.compat, limits=limits)) if known else {}
    return {name: value for name, value in own.items() if name != "eta" and (name not in plain or value != plain[name])}


def _options_of(sampler: Sampler) -> dict[str, Any]:
    return sampler.step_option_values() | {"numerics": sampler.numerics}


def lay_out(
    sampler: Sampler,
    num_inference_steps: int,
    patches: int,
    limits: Limits = DEFAULT_LIMITS,
    strength: float | None = None,
    *,
    distilled: bool = False,
) -> tuple[Plan, int]:
    """Lay out the run of a picture, and return its plan and first call.

    Parameters
    ----------
    sampler : Sampler
    num_inference_steps : int
        Of the whole plan.
    patches : int
        How many the picture has, which determines a dynamic shift of the noise levels.
    limits : Limits
    strength : float in (0, 1], or None
        The share of the plan that a run from a picture makes; None starts from noise.
    distilled : bool
        Whether the model takes the scale of guidance as an input, for which diffusers has pipelines of its own.

    Raises
    ------
    ConfigError : the sampler cannot make this number of steps
    """
    config, mu = sampler.config, None
    if config.get("use_dynamic_shifting"):
        # a solver's configuration has no sizes of its own; diffusers' pipelines then use FLUX's, as mu_of_size does
        mu = mu_of_size(patches, **{key: config[key] for key in _SHIFT_KEYS if key in config})
    if strength is None:
        return sampler.plan(num_inference_steps, mu=mu, limits=limits), 0
    if sampler.compat == "apple":
        # Swift multiplies in float32: a step more or less than in double, as of 50 steps at 0.58 or of 75 at 0.84. Half a step is added,
        # so that the number is the same when it is multiplied here
        steps = int(np.float32(num_inference_steps) * np.float32(strength))
        strength = min(1.0, (steps + 0.5) / num_inference_steps) if steps else strength
    if sampler.compat == "diffusers" and not distilled:
        # its other pipelines leave out the first calls of the whole run, of LCM and TCD too, whose own strength they do not set
        plan = sampler.plan(num_inference_steps, mu=mu, limits=limits)
        return plan, plan.start_at(strength)
    return sampler.image_plan(num_inference_steps, strength, mu=mu, limits=limits)


def image_seq_len(rows: int, columns: int) -> int:
    """Return the number of patches in latents of this size.

    >>> image_seq_len(128, 128)
    4096
    """
    return (rows // _PATCH) * (columns // _PATCH)


def network_timesteps(timesteps: Array, *dtypes: str) -> Array:
    """Return the timesteps as the networks take them: float16 holds whole numbers to 2048, and rounds fractional timesteps.

    The sampler keeps its own noise levels, which this rounding does not change.
    """
    if "float16" not in dtypes:
        return timesteps
    rounded = timesteps.astype(np.float16).astype(timesteps.dtype)
    for exact, nearest in zip(timesteps.tolist(), rounded.tolist(), strict=True):
        if exact != nearest:
            log.info("the packages take timesteps as float16: %g becomes %g", exact, nearest)
    return rounded
