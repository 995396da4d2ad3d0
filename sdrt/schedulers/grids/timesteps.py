"""Which of the T trained timesteps a run of n steps visits.

diffusers has three families over the same three kinds: DDIM and PNDM round n points to integers; the sigma-based ones (Euler) leave
linspace fractional; DPM-Solver places n + 1 points and drops the last. Both differences are parameters here.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from sdrt.arrays import F64
from sdrt.errors import ConfigError
from sdrt.exact.sequences import arange, linspace
from sdrt.schedulers.core.kinds import whole
from sdrt.schedulers.core.run import Request
from sdrt.schedulers.core.settings import check_fields, setting

__all__ = ["Spacing", "TimestepSpacing", "check_timesteps", "round_timesteps"]

Spacing = Literal["linspace", "leading", "trailing"]


@dataclass(frozen=True, kw_only=True)
class TimestepSpacing:
    """How n timesteps are placed.

    Source: Lin et al. 2024 (arXiv:2305.08891), table 2; diffusers 0.42.1 ``set_timesteps``.

    >>> TimestepSpacing(kind="linspace").timesteps(Request(n=5), 1000)
    array([999.  , 749.25, 499.5 , 249.75,   0.  ])
    >>> TimestepSpacing(kind="leading", steps_offset=1).timesteps(Request(n=5), 1000)
    array([801., 601., 401., 201.,   1.])
    >>> TimestepSpacing(kind="trailing").timesteps(Request(n=5), 1000)
    array([999., 799., 599., 399., 199.])
    """

    kind: Spacing = setting("leading", "timestep_spacing")
    steps_offset: int = setting(0, kind=whole(0))  # added to every timestep of leading, and of leading only

    def __post_init__(self) -> None:
        check_fields(self)

    def timesteps(self, request: Request, num_train_timesteps: int, spare: int = 0) -> F64:
        """Return the caller's timesteps, or place the requested number of them.

        Parameters
        ----------
        num_train_timesteps : int
            T; the timesteps lie in [0, T - 1].
        spare : int
            So many points more are placed by ``linspace`` and ``leading``, and dropped at the end (DPM-Solver: 1).

        Returns
        -------
        f64[n], descending, and strictly so where they are placed; fractional for ``linspace`` only

        Raises
        ------
        ConfigError : more timesteps than the spacing can tell apart, or an offset that leaves the range; :func:`check_timesteps`
        """
        if request.timesteps is not None:
            return check_timesteps(request.timesteps, num_train_timesteps)
        n = request.n
        match self.kind:
            case "linspace":
                timesteps = self._linspace(num_train_timesteps, n + spare)[:n]
            case "leading":
                timesteps = self._leading(num_train_timesteps, n + spare)[:n]
            case _:
                timesteps = self._trailing(num_train_timesteps, n)
        if timesteps[0] > num_train_timesteps - 1:
            raise ConfigError(
                f"{self.kind} spacing with steps_offset {self.steps_offset} starts at timestep {timesteps[0]:.0f} for {n} steps, "
                f"but the last trained one is {num_train_timesteps - 1}; take fewer steps or steps_offset 0"
            )
        if np.any(np.diff(timesteps) >= 0):
            raise _coincide(self.kind, n)
        return timesteps

    def _linspace(self, num_train_timesteps: int, points: int) -> F64:
        """Spread the points over the whole range; a single one is the noisiest."""
        if points == 1:
            return np.array([num_train_timesteps - 1.0])
        return linspace(0, num_train_timesteps - 1, points)[::-1]

    def _leading(self, num_train_timesteps: int, points: int) -> F64:
        """Place the beginnings of equal intervals: a single one is at the low end of the range, by definition."""
        beginnings: F64 = np.arange(points - 1, -1, -1, dtype=np.float64) * (num_train_timesteps // points)
        return beginnings + self.steps_offset

    def _trailing(self, num_train_timesteps: int, n: int) -> F64:
        """Place the ends of n equal intervals.

        The float expression is diffusers' own, since simplifying it moves timesteps at some n (48, 96). It yields n + 1 values, the last of
        them -1, for 62 of n = 1..1000 (61, 103, ...): cut to n.
        """
        ends: F64 = np.round(arange(num_train_timesteps, 0, -num_train_timesteps / n)) - 1
        return ends[:n]


def check_timesteps(timesteps: tuple[float, ...], num_train_timesteps: int) -> F64:
    """Return timesteps that a caller laid down, f64[n].

    Raises
    ------
    ConfigError : one outside [0, T - 1], or above the one before it
    """
    own: F64 = np.array(timesteps)
    if own.max() > num_train_timesteps - 1 or np.any(np.diff(own) > 0):
        raise ConfigError(
            f"timesteps must lie in [0, {num_train_timesteps - 1}] and never rise, got {own.min():g} to {own.max():g}"
            f"{', rising' if np.any(np.diff(own) > 0) else ''}; sort them from noisy to clean"
        )
    return own


def round_timesteps(timesteps: F64) -> npt.NDArray[np.int64]:
    """Round to whole timesteps, half to even, and check that none coincide."""
    rounded = np.round(timesteps).astype(np.int64)
    if np.any(np.diff(rounded) >= 0):
        raise _coincide("rounded", len(rounded))
    return rounded


def _coincide(kind: str, n: int) -> ConfigError:
    return ConfigError(f"{kind} timesteps of {n} steps coincide; take fewer steps, or timestep_spacing trailing")
