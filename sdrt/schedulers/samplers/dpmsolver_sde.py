"""DPM-Solver++ (stochastic), the two-stage sampler of K. Crowson's k-diffusion (``sample_dpmpp_sde``), with Brownian noise.

With r = sigma / alpha and r_mid = sqrt(r * r'), both calls of a step hold their predicted x0. They lead from the step's beginning to r_down
of their end, then back up with the increment z of a Brownian path between the two:

    x_mid / alpha_mid = r_down / r * x / alpha + (1 - r_down / r) * x0_hat(x, r)         + r_up * s_noise * z(r, r_mid)
    x'    / alpha'    = r_down / r * x / alpha + (1 - r_down / r) * x0_hat(x_mid, r_mid) + r_up * s_noise * z(r, r')
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Literal

import numpy as np

from sdrt.arrays import F64, Float
from sdrt.exact.mathematics import Functions
from sdrt.schedulers.core.kinds import WHOLE
from sdrt.schedulers.core.run import Level, Plan, Request
from sdrt.schedulers.core.sampler import Sampler
from sdrt.schedulers.core.settings import group, option, setting
from sdrt.schedulers.grids.ratio import RatioGrid, level_at
from sdrt.schedulers.samplers.dpmpp_2s_ancestral import exponential_step
from sdrt.schedulers.samplers.euler_ancestral import ancestral_split
from sdrt.schedulers.steps.linear import LinearCall, LinearStep, linear_plan
from sdrt.values import Either, ListOf, Nullable, Number

__all__ = ["DPMSolverSDE"]


_SEED = Nullable(Either(WHOLE, ListOf(WHOLE, minimum=1)))


def _read_seed(seed: Any) -> int | tuple[int, ...] | None:
    return tuple(seed) if isinstance(seed, (list, tuple)) else seed


@dataclass(frozen=True, kw_only=True)
class DPMSolverSDE(Sampler):
    """Take a stochastic step to the middle in log ratio, then the whole step with the x0 predicted there.

    The noise of a call is the increment of a Brownian path between the call's two ratios: both calls of a step follow one path, and so do
    runs with other numbers of steps. The path's seed is ``noise_sampler_seed`` if it is set, else the run's.
    """

    name: ClassVar[str] = "DPMSolverSDEScheduler"
    calls_per_step: ClassVar[int] = 2
    step_options: ClassVar[tuple[str, ...]] = ("s_noise",)

    prediction_type: Literal["epsilon", "v_prediction"] = setting("epsilon")
    grid: RatioGrid = group(
        RatioGrid,
        without=["final_sigmas_type", "rescale_betas_zero_snr"],
        fixed={"reads_exact_timesteps": True},
        beta_start=0.00085,
        beta_end=0.012,
    )
    # of the Brownian path; several: one for each sample of a batch
    noise_sampler_seed: int | tuple[int, ...] | None = setting(None, read=_read_seed, kind=_SEED)
    s_noise: float = option(1.0, Number(0))  # deviation of the noise

    @property
    def brownian_seed(self) -> int | tuple[int, ...] | None:
        """The seed of the Brownian path; None: the run's."""
        return self.noise_sampler_seed

    def _plan(self, request: Request) -> Plan:
        stops = (levels := self.grid.levels(request)).stops
        ends, middles = _through_logarithms(levels.ratios, self.functions)
        calls: list[LinearCall] = []
        for level, (ratio, ratio_next), middle in zip(stops, pairwise(ends.tolist()), self.grid.levels_at(middles), strict=False):
            if not ratio_next:
                calls.append(LinearCall(at=level, step=LinearStep(x0=1.0)))
                continue
            start, end = level_at(level.timestep, ratio), level_at(0.0, ratio_next)
            calls += (self._stage(level, start, middle), self._stage(middle, start, end, first=level))
        positive = [level.ratio for level in stops if level.ratio > 0]
        span = (min(positive), max(positive))
        return linear_plan(self.prediction_type, calls, stops[-1], self.grid.init_scale(stops[0]), span=span)

    def _stage(self, at: Level, start: Level, end: Level, first: Level | None = None) -> LinearCall:
        """Return a call that leads from the step's beginning to ``end``; the second of a step looks back to the first."""
        down, up = ancestral_split(start.ratio, end.ratio, functions=self.functions)
        kept, share = exponential_step(start, end.alpha, down)
        fresh = end.alpha * (up * self.s_noise)
        step = LinearStep(x=kept, x0=share, noise=fresh) if first is None else LinearStep(start=kept, x0=share, noise=fresh)
        draws, interval = start.ratio != end.ratio, (start.ratio, end.ratio)
        return LinearCall(at=at, step=step, start=first, draws=draws, ends=first is not None, interval=interval)


def _through_logarithms(ratios: Float, functions: Functions) -> tuple[F64, F64]:
    """Return the ratios as the step sees them, and the middle of each two in their logarithm, in the ratios' own type.

    A logarithm and its exponential move a float32 ratio by a unit in the last place. A Brownian path is read at six decimals, and so sees
    that: diffusers' noise belongs to the ratios that come back.
    """
    real = ratios.dtype
    with np.errstate(divide="ignore", invalid="ignore"):
        times = -functions.log(ratios.astype(np.float64)).astype(real)
        proposed = times[:-1] + np.diff(times) * real.type(0.5)
    back, middles = (functions.exp(-t.astype(np.float64)).astype(real).astype(np.float64) for t in (times, proposed))
    return back, middles
