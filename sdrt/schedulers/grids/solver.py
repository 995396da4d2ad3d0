"""The stops of DPM-Solver's family (DPM-Solver, DEIS, UniPC, SA-Solver): n + 1 points of which the last is dropped, at whole timesteps.

What diffusers calls ``sigmas`` there is a stop's ratio of noise to signal, or, for a flow, its share of noise.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sdrt.arrays import F64, Array, Float, float_dtype
from sdrt.errors import ConfigError
from sdrt.exact.mathematics import Functions
from sdrt.exact.sequences import interp, linspace
from sdrt.schedulers.core.prediction import Prediction
from sdrt.schedulers.core.run import Plan, Request, Scales
from sdrt.schedulers.core.sampler import Grid
from sdrt.schedulers.core.settings import group, setting
from sdrt.schedulers.grids.noise_schedule import NoiseSchedule
from sdrt.schedulers.grids.ratio import TERMINAL, alpha_sigma, ratio_to_timestep, schedule_ratios
from sdrt.schedulers.grids.sigmas import FinalSigma, SigmaSpacing
from sdrt.schedulers.grids.solver_flow import SolverFlow
from sdrt.schedulers.grids.timesteps import TimestepSpacing, check_timesteps, round_timesteps
from sdrt.values import Number

__all__ = ["UNIPC_ONLY", "SolverGrid", "SolverLevels"]

# Keys of the grid that UniPC alone has.
UNIPC_ONLY = ("shift_terminal", "sigma_max", "sigma_min")


@dataclass(frozen=True, kw_only=True, eq=False)
class SolverLevels:
    """The stops of a run."""

    timesteps: Array  # i64[n], or f64[n] for a flow
    sigmas: Float  # real[n + 1], of the numerics: ratios of noise to signal, or a flow's shares of noise
    is_flow: bool
    functions: Functions

    def scales(self) -> Scales:
        """Return alpha, sigma and lambda at each stop, in the numerics' type: what diffusers computes with."""
        return Scales.of(*self._alpha_sigma(self.sigmas), self.functions)

    def scales_f64(self) -> Scales:
        """Return them in float64."""
        return Scales.of(*self._alpha_sigma(self.sigmas.astype(np.float64)), self.functions)

    def plan(self, calls: tuple[Any, ...], *, draws: bool = False) -> Plan:
        """Return the plan of a sampler that makes one call a step, with tables in float64, from which the sigmas follow to the bit."""
        n = len(calls)
        alphas, sigmas = self._alpha_sigma(self.sigmas.astype(np.float64))
        return Plan(timesteps=self.timesteps, alphas=alphas, sigmas=sigmas, coefficients=calls, draws=(draws,) * n, starts=tuple(range(n)))

    def _alpha_sigma(self, sigmas: Float) -> tuple[Float, Float]:
        return (1 - sigmas, sigmas.copy()) if self.is_flow else alpha_sigma(sigmas)


@dataclass(frozen=True, kw_only=True)
class SolverGrid(Grid):
    """Trained timesteps and their own ratios, ratios spread by a formula, or the levels of a flow.

    With ``flow.use_flow_sigmas`` the stops are a flow's, where alpha and sigma add up to 1, and the noise schedule says nothing.
    """

    accepts: frozenset[str] = frozenset({"timesteps", "mu"})
    schedule: NoiseSchedule = group(NoiseSchedule, fixed={"terminal_alpha_bar": TERMINAL})
    spacing: TimestepSpacing = group(TimestepSpacing, timestep_spacing="linspace")
    sigma_spacing: SigmaSpacing = group(SigmaSpacing)
    final_sigma: FinalSigma = setting("sigma_min", "final_sigmas_type")  # where a run ends: without noise, or at the smallest trained ratio
    # Leave out timesteps noisier than this log(alpha / sigma): -5.1 for the cosine schedule.
    lambda_min_clipped: float = setting(-math.inf, read=float, kind=Number(infinite=True))
    flow: SolverFlow = group(SolverFlow)
    ends_at_trained: bool = False  # whether a formula's run ends at the smallest trained ratio, and not at its own last one
    cuts_cosine: bool = False  # whether diffusers cuts the fractions off the karras timesteps of the cosine schedule
    flow_from_one: bool = False  # whether a flow's run begins at 1, and not at 1 - 1 / T

    @property
    def num_train_timesteps(self) -> int:
        """T, the length of the training schedule."""
        return self.schedule.num_train_timesteps

    @property
    def is_flow(self) -> bool:
        """Whether the stops are a flow's."""
        return self.flow.use_flow_sigmas

    @property
    def ends_at_zero(self) -> bool:
        """Whether a run ends without any noise, and not at the smallest trained ratio."""
        return self.final_sigma == "zero"

    def alpha_bar(self) -> F64:
        """Return the signal power at every trained timestep, f64[T].

        Raises
        ------
        ConfigError : the stops are a flow's
        """
        if self.is_flow:
            raise ConfigError("a flow has no alphas_cumprod, so noise is added at timesteps of the plan alone; use those, or sigmas")
        return self.schedule.alpha_bar(self.numerics)

    def check_prediction(self, prediction: Prediction) -> None:
        """Raise ConfigError for a prediction that is not defined at these stops."""
        if prediction == ("v_prediction" if self.is_flow else "flow_prediction"):
            raise ConfigError(
                f"a {prediction} belongs to {'a noise schedule' if self.is_flow else 'a flow'}, "
                f"got use_flow_sigmas {self.is_flow}; set it to {not self.is_flow}"
            )

    def levels(self, request: Request) -> SolverLevels:
        """Choose the stops of a run: the caller's own, or the requested number by the spacing or the formula.

        Raises
        ------
        ConfigError : stops that it cannot visit
        """
        if self.flow.use_flow_sigmas:
            timesteps, sigmas = self._flow_stops(request)
        elif request.mu is not None and not self.flow.use_dynamic_shifting:
            raise ConfigError(f"mu must be None unless use_dynamic_shifting is on, got {request.mu}; leave it out")
        elif request.sigmas is not None:
            raise ConfigError("use_flow_sigmas must be true for custom sigmas, got false; set it, or pass timesteps")
        elif self.sigma_spacing.kind == "interpolated" or request.timesteps is not None:
            timesteps, sigmas = self._trained_stops(request)
        else:
            sigmas = self._formula_ratios(request.n)
            timesteps = self.round_formula(self._ratios_to_timesteps(sigmas[:-1]))
        real = float_dtype(self.numerics)
        return SolverLevels(timesteps=timesteps, sigmas=sigmas.astype(real), is_flow=self.flow.use_flow_sigmas, functions=self.functions)

    # ---- a trained schedule

    def num_usable_timesteps(self) -> int:
        """Count the timesteps that lambda_min_clipped leaves: 0 up to this number."""
        if self.lambda_min_clipped == -math.inf:
            return self.num_train_timesteps
        a = self.schedule.alpha_bar(self.numerics).astype(float_dtype(self.numerics))
        lambdas = self.functions.log(np.sqrt(a)) - self.functions.log(np.sqrt(1 - a))
        usable = len(lambdas) - int(np.searchsorted(lambdas[::-1], self.lambda_min_clipped))
        if not usable:
            raise ConfigError(f"lambda_min_clipped must leave a timestep, got {self.lambda_min_clipped}; the cosine schedule has -5.1")
        return usable

    def _trained_stops(self, request: Request) -> tuple[npt.NDArray[np.int64], F64]:
        """Return timesteps, and their own ratios with the one at which the run ends."""
        ratios = schedule_ratios(self.schedule, self.numerics)
        if request.timesteps is not None:
            timesteps = check_timesteps(request.timesteps, self.num_train_timesteps).astype(np.int64)
        else:
            timesteps = self._place(request, self.num_usable_timesteps())
        own = interp(timesteps, np.arange(len(ratios)), ratios)
        return timesteps, np.append(own, 0.0 if self.final_sigma == "zero" else float(ratios[0]))

    def _place(self, request: Request, usable: int) -> npt.NDArray[np.int64]:
        """Place timesteps among the usable ones."""
        return round_timesteps(self.spacing.timesteps(request, usable, spare=1))

    # ---- a formula

    def _formula_ratios(self, n: int) -> F64:
        """Return the ratios of a formula, and the one at which the run ends: f64[n + 1]."""
        ratios = schedule_ratios(self.schedule, self.numerics)
        first, last = float(ratios[self._noisiest()]), float(ratios[0])
        spread = _even_logarithms if self.sigma_spacing.kind == "lu" else self.sigma_spacing.spread
        if self.final_sigma == "zero":
            return np.append(spread(first, last, n, self.functions), 0.0)
        if self.sigma_spacing.kind == "ays" or self.ends_at_trained:
            return np.append(spread(first, last, n, self.functions), last)
        return self._spread_to_the_end(first, last, n)

    def _noisiest(self) -> int:
        """Return the timestep at which a formula begins: the noisiest that lambda_min_clipped leaves."""
        return self.num_usable_timesteps() - 1

    def _spread_to_the_end(self, first: float, last: float, n: int) -> F64:
        """Return n + 1 ratios of a formula, the last of which ends the run."""
        return self.sigma_spacing.spread(first, last, n + 1, self.functions)

    def _ratios_to_timesteps(self, ratios: F64) -> F64:
        """Return the fractional timesteps of ratios, f64[n]: the last trained one for its own ratio or more."""
        trained = schedule_ratios(self.schedule, self.numerics)
        return np.where(ratios >= float(trained[-1]) * (1 - 1e-6), len(trained) - 1.0, ratio_to_timestep(ratios, trained, self.functions))

    def round_formula(self, timesteps: F64) -> npt.NDArray[np.int64]:
        """Make a formula's timesteps whole."""
        return np.round(timesteps).astype(np.int64)

    # ---- a flow

    def _flow_stops(self, request: Request) -> tuple[Array, F64]:
        """Return timesteps and levels of a flow."""
        if request.timesteps is not None:
            timesteps = check_timesteps(request.timesteps, self.num_train_timesteps)
            own = timesteps / self.num_train_timesteps
            if not own[-1]:
                raise ConfigError("timesteps of a flow must be above 0, where nothing is left to do, got 0; leave it out")
            return timesteps, np.append(own, 0.0 if self.final_sigma == "zero" else self._lowest(own, 1.0))
        levels = self._flow_levels(request) if self.sigma_spacing.kind == "interpolated" else self._flow_formula(request)
        return self.flow_timesteps(levels[:-1]), levels

    def flow_timesteps(self, levels: F64) -> Array:
        """Return the network's timesteps: sigma * T."""
        return levels * self.num_train_timesteps

    def _flow_levels(self, request: Request) -> F64:
        """Return the levels of a run, shifted, and the one at which it ends."""
        shift = self._flow_shift(request.mu)
        if request.sigmas is not None:
            levels = self.flow.shift_and_stretch(np.array(request.sigmas), shift)
        else:
            levels = (self.flow.from_one if self.flow_from_one else self.flow.from_lowest)(request.n, self.num_train_timesteps, shift)
        if levels[0] >= 1 or levels[-1] <= 0 or np.any(np.diff(levels) > 0):
            raise ConfigError(
                f"sigmas of a flow must lie in (0, 1] and never rise, got {levels[0]:g} to {levels[-1]:g}; sort them from noisy to clean"
            )
        return np.append(levels, 0.0 if self.final_sigma == "zero" else self._flow_end(levels, shift))

    def _flow_shift(self, mu: float | None) -> float:
        return self.flow.shift(mu, self.functions)

    def _flow_end(self, levels: F64, shift: float) -> float:
        """Return the level at which a flow's run ends that shall not end at 0: the lowest there is."""
        return self._lowest(levels, shift)

    def _lowest(self, levels: F64, shift: float) -> float:
        """Return the lowest level that there is, or the last that is visited where a caller goes lower."""
        return min(float(levels[-1]), self.flow.lowest(self.num_train_timesteps, shift))

    def _flow_formula(self, request: Request) -> F64:
        """Return the levels of a formula, which spreads ratios: a ratio r of noise to signal is a share of r / (1 + r).

        diffusers 0.42.1 converts so in UniPC with karras sigmas alone; elsewhere it takes ratios above 1 for shares, and gives NaN.
        """
        if request.sigmas is not None:
            raise ConfigError(
                "sigmas that a caller lays down take the place of a formula; pass them, or set use_karras_sigmas and the like"
            )
        ratios = self._formula_ratios(request.n)
        levels: F64 = ratios / (1 + ratios)
        return levels


def _even_logarithms(first: float, last: float, n: int, functions: Functions) -> F64:
    """Spread ratios evenly in the logarithms of float32 ratios, rounded as those of the trained ones are when timesteps are looked up."""
    high, low = (float(functions.log(np.float32(end))) for end in (first, last))
    ratios: F64 = functions.exp(high + linspace(0, 1, n) * (low - high))
    return ratios
