"""Choose the scheduler of a call, and lay out its run."""

from collections.abc import Mapping
from typing import Any

from sdrt.arrays import Numerics
from sdrt.errors import ConfigError
from sdrt.models import Model
from sdrt.pipeline.options import SchedulerChoice
from sdrt.schedulers import Compat, DiffusersScheduler, Plan, Sampler, sampler_from_config, sampler_from_name
from sdrt.schedulers.grids.flow_shift import mu_of_size

__all__ = ["beyond_config", "choose_sampler", "image_seq_len", "lay_out", "scheduler_name"]

# Side, in latents, of the patches by which a dynamic shift counts sizes: those of SD3 and FLUX.
_PATCH = 2

# The keys of a configuration that define its dynamic shift.
_SHIFT_KEYS = ("base_shift", "max_shift", "base_image_seq_len", "max_image_seq_len")


def choose_sampler(
    model: Model, scheduler: SchedulerChoice | None, numerics: Numerics, compat: Compat = None, eta: float | None = None
) -> Sampler:
    """Return the sampler of a call.

    Parameters
    ----------
    scheduler : str, mapping, Sampler, DiffusersScheduler or None
        As :meth:`sdrt.Pipeline.generate` takes it.
    compat : Compat
        The implementation whose bugs it reproduces; None keeps the sampler's own.
    eta : float or None
        None keeps the sampler's own.

    Raises
    ------
    ConfigError : an unknown name, a sampler for another kind of model, or an option that the sampler lacks
    """
    sampler = _sampler(model, scheduler, numerics, compat)
    if sampler.inverse:
        raise ConfigError(
            f"scheduler must lead from noise to a picture, got {sampler.name}, which goes from a picture to its noise; choose another one"
        )
    if compat is not None and sampler.compat != compat:
        sampler = sampler.with_compat(compat)
    return sampler if eta is None else sampler.with_options(eta=eta)


def _sampler(model: Model, scheduler: SchedulerChoice | None, numerics: Numerics, compat: Compat) -> Sampler:
    own = model.scheduler_config
    match scheduler:
        case None:
            return sampler_from_config(own, numerics, compat)
        case str():
            named = sampler_from_name(scheduler, own, numerics, compat)
            if (named.alpha_bar() is None) != (sampler_from_config(own).alpha_bar() is None):
                raise ConfigError(
                    f"scheduler must fit this model, which was trained for {own.get('_class_name')}, got {named.name}; "
                    "choose another name, or pass a whole scheduler configuration"
                )
            return named
        case Mapping():
            options = dict(scheduler.get("_sdrt", {}).get("options", {}))
            return sampler_from_config(scheduler, options.pop("numerics", numerics), compat).with_options(**options)
        case DiffusersScheduler():
            return scheduler.sampler
        case Sampler():
            return scheduler
    raise ConfigError(
        f"scheduler must be a name, a configuration, or an object of sdrt.schedulers, got {type(scheduler).__name__}; pass one of those"
    )


def scheduler_name(scheduler: SchedulerChoice | None, sampler: Sampler) -> str:
    """Return the name that the caller chose, in this call or in the recorded one; else the class."""
    if isinstance(scheduler, Mapping):
        return str(scheduler.get("_sdrt", {}).get("name", sampler.name))
    return scheduler if isinstance(scheduler, str) else sampler.name


def beyond_config(scheduler: SchedulerChoice | None, sampler: Sampler, numerics: Numerics) -> dict[str, Any]:
    """Return the options that distinguish a sampler from the one that its configuration builds; eta has a setting of its own."""
    if scheduler is None or isinstance(scheduler, str):
        return {}
    own, plain = (
        each.step_option_values() | {"numerics": each.numerics}
        for each in (sampler, sampler_from_config(sampler.config, numerics, sampler.compat))
    )
    return {name: value for name, value in own.items() if name != "eta" and value != plain[name]}


def lay_out(sampler: Sampler, num_inference_steps: int, patches: int) -> Plan:
    """Lay out the run of a picture with this number of patches, which determines a dynamic shift of the noise levels.

    Raises
    ------
    ConfigError : the sampler cannot make this number of steps
    """
    config = sampler.config
    if not config.get("use_dynamic_shifting"):
        return sampler.plan(num_inference_steps)
    # a solver's configuration has no sizes of its own; diffusers' pipelines then use FLUX's, as mu_of_size does
    return sampler.plan(num_inference_steps, mu=mu_of_size(patches, **{key: config[key] for key in _SHIFT_KEYS if key in config}))


def image_seq_len(rows: int, columns: int) -> int:
    """Return the number of patches in latents of this size.

    >>> image_seq_len(128, 128)
    4096
    """
    return (rows // _PATCH) * (columns // _PATCH)
