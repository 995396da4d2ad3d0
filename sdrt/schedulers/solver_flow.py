"""The noise levels of a flow as DPM-Solver's family of diffusers takes them: at level sigma, x = (1 - sigma) * x0 + sigma * noise.

A family of its own beside the flow-matching classes, whose levels begin elsewhere and are shifted otherwise.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from sdrt.arrays import F64
from sdrt.errors import ConfigError
from sdrt.schedulers.core.settings import Compat
from sdrt.schedulers.grids.flow_shift import shift_sigmas as shifted

__all__ = ["DYNAMIC_SHIFT_KEYS", "SOLVER_FLOW_KEYS", "SolverFlow"]

SOLVER_FLOW_KEYS: dict[str, Any] = {"use_flow_sigmas": False, "flow_shift": 1.0}
DYNAMIC_SHIFT_KEYS: dict[str, Any] = {"use_dynamic_shifting": False, "time_shift_type": "exponential"}

# diffusers' distance from pure noise, where a noise prediction would be divided by 0.
_FROM_ONE = 1e-6


@dataclass(frozen=True, kw_only=True)
class SolverFlow:
    """Whether the stops are a flow's, and how its levels are shifted towards noise.

    Raises
    ------
    ConfigError : a shift that is none, or stretching where there is no flow
    """

    use_flow_sigmas: bool = False
    flow_shift: float = 1.0  # 3 for Wan at 480p, 5 at 720p
    use_dynamic_shifting: bool = False  # plans then need mu
    time_shift_type: Literal["exponential", "linear"] = "exponential"  # whether the dynamic shift is exp(mu), or mu
    shift_terminal: float | None = None  # stretch the levels so that the last but the end is this

    def __post_init__(self) -> None:
        if not self.flow_shift > 0:
            raise ConfigError(f"flow_shift must be above 0, got {self.flow_shift}; 1 shifts nothing")
        if self.shift_terminal is not None and not (self.use_flow_sigmas and 0 < self.shift_terminal < 1):
            raise ConfigError(f"shift_terminal is for use_flow_sigmas, and lies between 0 and 1; got {self.shift_terminal}; leave it out")

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> "SolverFlow":
        """Read diffusers' keys; those that a class does not have are at their defaults."""
        return cls(
            use_flow_sigmas=bool(values["use_flow_sigmas"]),
            flow_shift=float(values["flow_shift"]),
            use_dynamic_shifting=bool(values.get("use_dynamic_shifting")),
            time_shift_type=values.get("time_shift_type", "exponential"),
            shift_terminal=values.get("shift_terminal") or None,
        )

    def config(self) -> dict[str, Any]:
        """Return diffusers' keys."""
        keys = ("use_flow_sigmas", "flow_shift", "use_dynamic_shifting", "time_shift_type", "shift_terminal")
        return {key: getattr(self, key) for key in keys}

    def shift(self, mu: float | None, compat: Compat, needs_mu: bool) -> float:
        """Return the shift of a run.

        Without mu, diffusers 0.42.1 takes ``flow_shift`` for the dynamic one, except in UniPC (``needs_mu``), which raises. It takes a mu
        that means nothing in UniPC, and raises in the others.

        Raises
        ------
        ConfigError : a dynamic shift without mu, mu without a dynamic shift, or one that gives no shift
        """
        if not self.use_dynamic_shifting:
            if mu is not None and not (compat == "diffusers" and needs_mu):
                raise ConfigError(f"mu is for use_dynamic_shifting, which is off here, got {mu}; leave it out")
            return self.flow_shift
        if mu is None:
            if compat == "diffusers" and not needs_mu:
                return self.flow_shift
            raise ConfigError("use_dynamic_shifting needs mu, got None; pass the one of the picture's size")
        shift = math.exp(mu) if self.time_shift_type == "exponential" else mu
        if not shift > 0:
            raise ConfigError(f"mu is the shift itself where time_shift_type is linear, and above 0; got {mu}")
        return shift

    def from_lowest(self, n: int, num_train_timesteps: int, shift: float) -> F64:
        """Spread levels between 1 - 1 / T and 0, which is left out: f64[n], descending; the habit of all but UniPC."""
        signal = np.linspace(1, 1 / num_train_timesteps, n + 1)
        return np.flip(shifted(1.0 - signal, shift))[:-1]

    def from_one(self, n: int, num_train_timesteps: int, shift: float) -> F64:
        """Spread levels between 1 and 1 / T, which is left out: f64[n], descending; UniPC's habit."""
        return self.of_levels(np.linspace(1, 1 / num_train_timesteps, n + 1)[:-1], shift)

    def of_levels(self, sigmas: F64, shift: float) -> F64:
        """Shift and stretch levels, and keep the first from being 1: f64[n]."""
        found = self._stretched(shifted(sigmas, shift)).copy()
        if abs(found[0] - 1) < _FROM_ONE:
            found[0] -= _FROM_ONE
        return found

    def least(self, num_train_timesteps: int, shift: float) -> float:
        """Return the lowest level that a run visits: that of T steps."""
        return float(shifted(np.array((1 - 1 / num_train_timesteps) / num_train_timesteps), shift))

    def _stretched(self, sigmas: F64) -> F64:
        """Scale the shares of signal so that the last level is ``shift_terminal``.

        Without any signal, as in a run of one step, nothing can be scaled: diffusers 0.42.1 divides 0 by 0.
        """
        signal = 1 - sigmas
        if self.shift_terminal is None or not signal[-1]:
            return sigmas
        found: F64 = 1 - signal / (signal[-1] / (1 - self.shift_terminal))
        return found
