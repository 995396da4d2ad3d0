"""The noise levels of a flow as DPM-Solver's family of diffusers takes them: at level sigma, x = (1 - sigma) * x0 + sigma * noise.

A family of its own beside the flow-matching classes, whose levels begin elsewhere and are stretched otherwise.
"""

from dataclasses import dataclass

import numpy as np

from sdrt.arrays import F64
from sdrt.errors import ConfigError
from sdrt.exact.mathematics import Functions
from sdrt.exact.sequences import linspace
from sdrt.schedulers.core.kinds import POSITIVE
from sdrt.schedulers.core.settings import check_fields, setting
from sdrt.schedulers.grids.flow_shift import SHARE, TimeShiftType, dynamic_shift, shift_sigmas

__all__ = ["SolverFlow"]

# diffusers' distance from pure noise, where a noise prediction would be divided by 0.
_FROM_ONE = 1e-6


def _level_or_none(value: float | None) -> float | None:
    """Read 0 as None."""
    return value or None


@dataclass(frozen=True, kw_only=True)
class SolverFlow:
    """Whether the stops are a flow's, and how its levels are shifted towards noise.

    Raises
    ------
    ConfigError : stretching where there is no flow
    """

    use_flow_sigmas: bool = setting(False)
    flow_shift: float = setting(1.0, read=float, kind=POSITIVE)  # 3 for Wan at 480p, 5 at 720p
    use_dynamic_shifting: bool = setting(False)  # plans then need mu
    time_shift_type: TimeShiftType = setting("exponential")  # whether the dynamic shift is exp(mu), or mu
    shift_terminal: float | None = setting(None, read=_level_or_none, kind=SHARE)  # stretch the levels so that the last but the end is this

    def __post_init__(self) -> None:
        check_fields(self)
        if self.shift_terminal is not None and not (self.use_flow_sigmas and 0 < self.shift_terminal < 1):
            raise ConfigError(f"shift_terminal is for use_flow_sigmas, and must be in (0, 1), got {self.shift_terminal}; leave it out")

    def shift(self, mu: float | None, functions: Functions) -> float:
        """Return the shift of a run.

        Raises
        ------
        ConfigError : a dynamic shift without mu, mu without a dynamic shift, or one that gives no shift
        """
        if not self.use_dynamic_shifting:
            if mu is not None:
                raise ConfigError(f"mu must be None unless use_dynamic_shifting is on, got {mu}; leave it out")
            return self.flow_shift
        if mu is None:
            raise ConfigError("mu must be set where use_dynamic_shifting is on, got None; pass the one of the picture's size")
        return dynamic_shift(mu, self.time_shift_type, functions)

    def from_lowest(self, n: int, num_train_timesteps: int, shift: float) -> F64:
        """Spread levels between 1 - 1 / T and 0, which is left out: f64[n], descending; the habit of all but UniPC."""
        signal = linspace(1, 1 / num_train_timesteps, n + 1)
        return np.flip(shift_sigmas(1.0 - signal, shift))[:-1]

    def from_one(self, n: int, num_train_timesteps: int, shift: float) -> F64:
        """Spread levels between 1 and 1 / T, which is left out: f64[n], descending; UniPC's habit."""
        return self.shift_and_stretch(linspace(1, 1 / num_train_timesteps, n + 1)[:-1], shift)

    def shift_and_stretch(self, sigmas: F64, shift: float) -> F64:
        """Shift and stretch levels, and keep the first from being 1: f64[n]."""
        levels = self._stretch(shift_sigmas(sigmas, shift)).copy()
        if abs(levels[0] - 1) < _FROM_ONE:
            levels[0] -= _FROM_ONE
        return levels

    def lowest(self, num_train_timesteps: int, shift: float) -> float:
        """Return the lowest level that a run visits: that of T steps."""
        return float(shift_sigmas(np.array((1 - 1 / num_train_timesteps) / num_train_timesteps), shift))

    def _stretch(self, sigmas: F64) -> F64:
        """Scale the shares of signal so that the last level is ``shift_terminal``.

        Without any signal, as in a run of one step, nothing can be scaled: diffusers 0.42.1 divides 0 by 0.
        """
        signal = 1 - sigmas
        if self.shift_terminal is None or not signal[-1]:
            return sigmas
        stretched: F64 = 1 - signal / (signal[-1] / (1 - self.shift_terminal))
        return stretched
