"""The gate of the face: what a caller of diffusers' methods may pass, as plain numbers and finite arrays."""

from typing import Any

from sdrt.arrays import Float, check_finite
from sdrt.errors import ArrayContractError, ConfigError
from sdrt.printable import shown
from sdrt.rng import NoiseStream
from sdrt.schedulers.core.sampler import Sampler, check_floats
from sdrt.values import Either, Flag, ListOf, Number

__all__ = ["check_flag", "check_noise", "check_sample", "check_sampler", "check_stream", "one_timestep", "several_timesteps"]

_ONE = Either(Number(), ListOf(Number(), 1, 1))
_REPAIR = "pass one of scheduler.timesteps"


def check_sampler(sampler: object) -> Sampler:
    """Return a sampler, or raise ConfigError for anything else."""
    if not isinstance(sampler, Sampler):
        raise ConfigError(f"sampler must be a Sampler, got {shown(sampler)}; build one with sampler_from_config, or call make with a name")
    return sampler


def check_sample(name: str, x: object) -> Float:
    """Return an array of floats without NaN or infinities, or raise ArrayContractError."""
    array = check_floats(name, x)
    check_finite("scheduler", name, array)
    return array


def check_noise(x: Float, noise: object) -> Float:
    """Return the noise for samples, in their dtype; it may have axes of length 1 where they have more.

    Raises
    ------
    ArrayContractError : an array that is not finite, or does not spread over the samples
    """
    array = check_sample("noise", noise)
    if array.ndim > x.ndim or any(mine not in (1, its) for mine, its in zip(array.shape[::-1], x.shape[::-1], strict=False)):
        raise ArrayContractError(f"noise: expected the samples' shape, {list(x.shape)}, got {list(array.shape)}")
    return array.astype(x.dtype, copy=False)


def check_stream(stream: Any) -> NoiseStream:
    """Return a noise stream, or raise ConfigError for anything else, generators of torch and numpy among them."""
    if not (hasattr(stream, "normal") and hasattr(stream, "seed") and hasattr(stream, "name")):
        raise ConfigError(f"generator must be a noise stream of sdrt.rng, got {shown(stream)}; pass sdrt.rng.stream('torch', seed)")
    result: NoiseStream = stream
    return result


def check_flag(name: str, value: object) -> bool:
    """Return True or False, or raise ConfigError."""
    return Flag().check(name, value)


def one_timestep(name: str, value: object) -> float:
    """Return a timestep; an array or a list of one is that one."""
    checked = _ONE.check(name, value, _REPAIR)
    return float(checked[0] if isinstance(checked, tuple) else checked)


def several_timesteps(name: str, value: object, count: int) -> list[float]:
    """Return one timestep for all of ``count`` samples, or one for each."""
    kind = ListOf(Number(), minimum=1)
    checked = Either(Number(), kind).check(name, value, _REPAIR)
    listed = [float(t) for t in checked] if isinstance(checked, tuple) else [float(checked)]
    if len(listed) not in (1, count):
        raise ConfigError(f"{name} must hold one timestep, or one for each of {count} samples, got {len(listed)}; {_REPAIR} for each")
    return listed
