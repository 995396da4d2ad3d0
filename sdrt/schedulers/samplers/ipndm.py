"""IPNDM: pseudo linear multistep over a schedule of its own, as k-diffusion's forerunner v-diffusion has it (``iplms``).

    x' = alpha' * (x - sigma * e) / alpha + sigma' * e,    e extrapolated from eps_hat of this call and those before it (Adams-Bashforth)

Not the sampler of that name in k-diffusion's descendants, which runs over noise-to-signal ratios.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal

import numpy as np

from sdrt.arrays import Float
from sdrt.errors import ConfigError
from sdrt.schedulers.core.kinds import whole
from sdrt.schedulers.core.numerics import real_type
from sdrt.schedulers.core.prediction import to_eps, to_x0
from sdrt.schedulers.core.run import Level, Plan, Request, State
from sdrt.schedulers.core.sampler import Grid, Sampler
from sdrt.schedulers.core.settings import group, setting
from sdrt.schedulers.grids.noise_schedule import linspace
from sdrt.schedulers.steps.adams_bashforth import adams_bashforth
from sdrt.schedulers.steps.linear import plan_of
from sdrt.values import ListOf, Nullable, Number

__all__ = ["IPNDM", "IPNDMGrid", "IPNDMStep"]

_HISTORY = 3  # slopes that the fourth-order formula takes beside the newest


@dataclass(frozen=True, kw_only=True)
class IPNDMGrid(Grid):
    """Timesteps that are a share of the way in [0, 1]: sigma is the squared sine of that much of a right angle."""

    accepts: frozenset[str] = frozenset()
    num_train_timesteps: int = setting(1000, kind=whole(1))  # the number of steps until another is set
    # the noise scale of each stop
    trained_betas: tuple[float, ...] | None = setting(
        None, read=lambda betas: None if betas is None else tuple(map(float, betas)), kind=Nullable(ListOf(Number(0, 1), minimum=2))
    )

    def levels(self, request: Request) -> tuple[Level, ...]:
        """Return the stops of a run."""
        sigmas = self._sigmas(request.n)
        alphas = np.sqrt(1 - sigmas * sigmas)
        real = sigmas.dtype.type
        timesteps = self.functions.arctan2(sigmas, alphas).astype(real) / real(np.pi) * real(2)
        return tuple(map(Level.of, timesteps.tolist(), alphas.tolist(), sigmas.tolist()))

    def _sigmas(self, n: int) -> Float:
        """Return the noise scale at each stop, f[n + 1] of the numerics' own type; ``trained_betas`` hold them, from noisy to clean."""
        real = real_type(self.numerics)
        if self.trained_betas is None:
            angles = linspace(1, 0, n + 1, self.numerics) * real(np.pi) / real(2)
            sines: Float = self.functions.sin(angles.astype(np.float64)).astype(real)
            return sines * sines
        return np.array(self._betas_of(n, self.trained_betas), real)

    def _betas_of(self, n: int, betas: tuple[float, ...]) -> tuple[float, ...]:
        """Return the noise scales that were laid down for a run of n steps."""
        if n != len(betas) - 1:
            raise ConfigError(f"num_inference_steps must be {len(betas) - 1}, as trained_betas lay down, got {n}; or leave those out")
        return betas


@dataclass(frozen=True, kw_only=True)
class IPNDMStep:
    """Where a step starts and where it ends."""

    at: Level
    end: Level


@dataclass(frozen=True, kw_only=True)
class IPNDM(Sampler):
    """For networks of velocities. The first step starts from pure noise, where x0 comes from the velocity alone."""

    name: ClassVar[str] = "IPNDMScheduler"

    prediction_type: Literal["v_prediction"] = "v_prediction"
    grid: IPNDMGrid = group(IPNDMGrid)

    def _whole_plan(self) -> Plan:
        """Lay out T steps, the plan before a run is requested."""
        betas = self.grid.trained_betas
        return self._plan(Request(n=len(betas) - 1 if betas else self.num_train_timesteps))

    def _plan(self, request: Request) -> Plan:
        stops = self.grid.levels(request)
        return plan_of(stops, [IPNDMStep(at=level, end=level_next) for level, level_next in pairwise(stops)])

    def _advance(self, c: IPNDMStep, state: State, output: Float, noise: Float | None) -> State:  # noqa: ARG002
        alpha, sigma = c.at.alpha, c.at.sigma
        history = (*state.history[-_HISTORY:], to_eps("v_prediction", state.x, output, alpha, sigma))
        e = adams_bashforth(*history[::-1])
        x = self._first_x0(c.at, state.x, output, e) if len(history) == 1 or not alpha else to_x0("epsilon", state.x, e, alpha, sigma)
        np.multiply(x, c.end.alpha, out=x)
        np.add(x, e * c.end.sigma, out=x)
        return state.advance(x, history=history)

    def _first_x0(self, at: Level, x: Float, output: Float, e: Float) -> Float:  # noqa: ARG002
        """Return the x0 of a step without a history, or without signal."""
        return to_x0("v_prediction", x, output, at.alpha, at.sigma)
