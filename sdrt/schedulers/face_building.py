"""Stand-ins for diffusers' schedulers, from a configuration or a name."""

from collections.abc import Mapping
from typing import Any

from sdrt.arrays import Numerics
from sdrt.limits import DEFAULT_LIMITS, Limits
from sdrt.schedulers.config import sampler_from_config
from sdrt.schedulers.core.settings import Compat
from sdrt.schedulers.face import DiffusersScheduler
from sdrt.schedulers.names import sampler_from_name

__all__ = ["from_config", "make"]


def from_config(
    config: Mapping[str, Any], numerics: Numerics = "float32", compat: Compat = None, *, limits: Limits = DEFAULT_LIMITS
) -> DiffusersScheduler:
    """Build the stand-in of a diffusers configuration; parameters and errors as :func:`sampler_from_config`."""
    return DiffusersScheduler(sampler_from_config(config, numerics, compat, limits=limits))


# Stable Diffusion's own schedule, for names that come without a model.
_STABLE_DIFFUSION: dict[str, Any] = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "clip_sample": False}


def make(
    name: str, *, numerics: Numerics = "float32", compat: Compat = None, limits: Limits = DEFAULT_LIMITS, **settings: Any
) -> DiffusersScheduler:
    """Build the scheduler that people elsewhere call by this name ("dpm++ 2m karras", "euler a").

    Parameters
    ----------
    name : str
        As :func:`sampler_from_name` reads it: diffusers' class names, AUTOMATIC1111's, ComfyUI's and stable-diffusion.cpp's spellings.
    **settings
        Keys of a diffusers configuration; those left out are Stable Diffusion's, or the class's defaults.

    Raises
    ------
    ConfigError : an unknown name, key or value

    >>> scheduler = make("DPM++ 2M Karras")
    >>> scheduler.set_timesteps(4)
    >>> scheduler.timesteps
    array([999, 687, 146,   0])
    """
    config = {**_STABLE_DIFFUSION, **settings}
    return DiffusersScheduler(sampler_from_name(name, config, numerics, compat, from_file=False, limits=limits))
