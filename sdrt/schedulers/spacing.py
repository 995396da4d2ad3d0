"""Which of the T trained timesteps a run of n steps visits.

diffusers has three families over the same three kinds: DDIM and PNDM round n points to integers; the sigma-based ones (Euler) leave
linspace fractional; DPM-Solver places n + 1 points and drops the last. Both differences are parameters here. Each decision in which the
default departs from diffusers 0.42.1 is a function of its own.
"""

from typing import Literal

import numpy as np
import numpy.typing as npt

from sdrt.arrays import F64
from sdrt.errors import ConfigError
from sdrt.schedulers.compat import Compat

__all__ = ["Spacing", "given", "place", "rounded"]

Spacing = Literal["linspace", "leading", "trailing"]


def given(timesteps: tuple[float, ...], num_train_timesteps: int) -> F64:
    """Return timesteps that a caller laid down, f64[n].

    Raises
    ------
    ConfigError : one outside [0, T - 1], or above the one before it
    """
    found: F64 = np.array(timesteps)
    if found.max() > num_train_timesteps - 1 or np.any(np.diff(found) > 0):
        raise ConfigError(
            f"timesteps must lie in [0, {num_train_timesteps - 1}] and never rise, got {found.min():g} to {found.max():g}"
            f"{', rising' if np.any(np.diff(found) > 0) else ''}; sort them from noisy to clean"
        )
    return found


def place(spacing: Spacing, num_train_timesteps: int, n: int, steps_offset: int = 0, spare: int = 0, compat: Compat = None) -> F64:
    """Place n timesteps, descending.

    Parameters
    ----------
    num_train_timesteps : int
        T; the timesteps lie in [0, T - 1].
    steps_offset : int
        Added to every timestep of ``leading``, and of ``leading`` only.
    spare : int
        So many points more are placed by ``linspace`` and ``leading``, and dropped at the end (DPM-Solver: 1).
    compat : {"diffusers"}
        See :func:`_linspace` and :func:`_trailing` for what is then different.

    Returns
    -------
    f64[n], strictly descending; fractional for ``linspace`` only

    Raises
    ------
    ConfigError : more timesteps than the spacing can tell apart, or an offset that leaves the range

    Source: Lin et al. 2024 (arXiv:2305.08891), table 2; diffusers 0.42.1 ``set_timesteps``.

    >>> place("linspace", 1000, 5), place("leading", 1000, 5, 1), place("trailing", 1000, 5)
    (array([999.  , 749.25, 499.5 , 249.75,   0.  ]), array([801., 601., 401., 201.,   1.]), array([999., 799., 599., 399., 199.]))
    """
    points = n + spare
    match spacing:
        case "linspace":
            found = _linspace(num_train_timesteps, points, compat)[:n]
        case "leading":
            found = _leading(num_train_timesteps, points, steps_offset)[:n]
        case "trailing":
            found = _trailing(num_train_timesteps, n, compat)
        case _:
            raise ConfigError(f"timestep_spacing must be linspace, leading or trailing, got {spacing!r}")
    if found[0] > num_train_timesteps - 1:
        raise ConfigError(
            f"{spacing} spacing with steps_offset {steps_offset} starts at timestep {found[0]:.0f} for {n} steps, "
            f"but the last trained one is {num_train_timesteps - 1}; take fewer steps or steps_offset 0"
        )
    _check_distinct(spacing, found, n)
    return found


def rounded(timesteps: F64) -> npt.NDArray[np.int64]:
    """Round to whole timesteps, half to even, and check that none coincide."""
    whole = np.round(timesteps).astype(np.int64)
    _check_distinct("rounded", whole.astype(np.float64), len(whole))
    return whole


def _linspace(num_train_timesteps: int, points: int, compat: Compat) -> F64:
    """Spread the points over the whole range.

    A single point is the noisiest: diffusers starts a one-step run at timestep 0, where almost nothing is left to denoise.
    """
    if points == 1 and compat != "diffusers":
        return np.array([num_train_timesteps - 1.0])
    return np.linspace(0, num_train_timesteps - 1, points)[::-1]


def _leading(num_train_timesteps: int, points: int, steps_offset: int) -> F64:
    """Place the beginnings of equal intervals: a single one is at the low end of the range, by definition."""
    found: F64 = np.arange(points - 1, -1, -1, dtype=np.float64) * (num_train_timesteps // points)
    return found + steps_offset


def _trailing(num_train_timesteps: int, n: int, compat: Compat) -> F64:
    """Place the ends of n equal intervals.

    The float expression is diffusers' own, since simplifying it moves timesteps at some n (48, 96). It yields n + 1 values, the last of
    them -1, for 62 of n = 1..1000 (61, 103, ...), which diffusers keeps, so that such a run has a call more; here it is cut to n.
    """
    found: F64 = np.round(np.arange(num_train_timesteps, 0, -num_train_timesteps / n)) - 1
    return found if compat == "diffusers" else found[:n]


def _check_distinct(kind: str, timesteps: F64, n: int) -> None:
    if np.any(np.diff(timesteps) >= 0):
        raise ConfigError(f"{kind} timesteps of {n} steps coincide; take fewer steps, or timestep_spacing trailing")
