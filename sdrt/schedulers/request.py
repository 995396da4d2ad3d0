"""What a caller asks of a plan: a number of steps, or the stops themselves."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import SupportsFloat

import numpy as np

from sdrt.arrays import F64
from sdrt.errors import ConfigError

__all__ = ["Request"]


@dataclass(frozen=True, kw_only=True)
class Request:
    """How a run is to be laid out; :meth:`Request.of` checks it.

    Parameters
    ----------
    n : int
        Steps.
    timesteps : tuple of float, or None
        Where the network is to be called, in place of a spacing.
    sigmas : tuple of float, or None
        The noise levels of the stops, in place of a spacing and its formula, in the units in which the sampler's class of diffusers takes
        them. Whether the last is the end of the run is that class's habit too.
    mu : float or None
        Exponent of the dynamic time shift, for models whose schedule depends on the size of the picture.
    """

    n: int
    timesteps: tuple[float, ...] | None = None
    sigmas: tuple[float, ...] | None = None
    mu: float | None = None

    @classmethod
    def of(
        cls,
        num_inference_steps: int | None,
        timesteps: Iterable[SupportsFloat] | None,
        sigmas: Iterable[SupportsFloat] | None,
        mu: float | None,
        spare_sigmas: int,
    ) -> "Request":
        """Check what a caller passed.

        Parameters
        ----------
        spare_sigmas : int
            How many sigmas more than steps the sampler takes: 1 where the end of the run is among them.

        Raises
        ------
        ConfigError : nothing says how many steps, or two lists do not agree with it
        """
        own_timesteps = None if timesteps is None else _numbers("timesteps", timesteps)
        own_sigmas = None if sigmas is None else _numbers("sigmas", sigmas)
        counts = [] if own_timesteps is None else [len(own_timesteps)]
        counts += [] if own_sigmas is None else [len(own_sigmas) - spare_sigmas]
        counts += [] if num_inference_steps is None else [num_inference_steps]
        if not counts:
            raise ConfigError("a plan needs num_inference_steps, timesteps or sigmas; got none of them")
        if len(set(counts)) > 1:
            raise ConfigError(f"num_inference_steps, timesteps and sigmas must agree, got {counts} steps; pass one of them")
        return cls(n=counts[0], timesteps=own_timesteps, sigmas=own_sigmas, mu=mu)


def _numbers(name: str, values: Iterable[SupportsFloat]) -> tuple[float, ...]:
    """Return finite numbers, none of them above the one before it."""
    found: F64 = np.array([float(value) for value in values])
    if not len(found) or not np.isfinite(found).all() or (found < 0).any():
        raise ConfigError(f"{name} must hold at least one number, all finite and none below 0; got {_ends(found)}")
    return tuple(found.tolist())


def _ends(numbers: F64) -> str:
    shown = [f"{number:g}" for number in numbers.tolist()]
    return ", ".join(shown if len(shown) <= 8 else [*shown[:4], "...", *shown[-2:]]) or "an empty list"
