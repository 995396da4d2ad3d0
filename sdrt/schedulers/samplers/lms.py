"""Linear multistep sampling (K. Crowson's k-diffusion, ``sample_lms``): Adams-Bashforth over unevenly spaced stops."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sdrt.arrays import F64, Float
from sdrt.errors import ConfigError
from sdrt.schedulers.core.prediction import eps_weights, to_eps
from sdrt.schedulers.core.run import Plan, Request, State
from sdrt.schedulers.grids.ratio import alpha_sigma
from sdrt.schedulers.one_step import one_call_plan
from sdrt.schedulers.ratio_sampler import RATIO_KEYS, RatioSampler
from sdrt.schedulers.ratio_stops import first_scale
from sdrt.schedulers.staged import scales
from sdrt.schedulers.weighted_sum import combined

__all__ = ["LMS", "LMSCall", "lagrange_weights"]


@dataclass(frozen=True, kw_only=True)
class Weights:
    """One update: x' = x * sample + output * newest output + history * earlier slopes, newest first."""

    x: float
    output: float
    history: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class LMSCall:
    """The numbers of one call."""

    alpha: float
    sigma: float
    updates: tuple[Weights, ...]  # by order, as far as this call may go


@dataclass(frozen=True, kw_only=True)
class LMS(RatioSampler):
    """The slope, as a function of the ratio, is the polynomial through the last ``order`` ones, integrated exactly to the next stop.

    The order grows with the slopes that are known. diffusers 0.42.1 counts the calls of the whole plan instead, so that a run that begins
    in the middle takes the weights of order 4 for its one slope: its first steps are too long.
    """

    name: ClassVar[str] = "LMSDiscreteScheduler"
    keys: ClassVar[Mapping[str, Any]] = RATIO_KEYS
    step_options: ClassVar[tuple[str, ...]] = ("order",)

    order: int = 4  # how many slopes are looked at, of convergence too

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.order >= 1:
            raise ConfigError(f"order must be at least 1, got {self.order}; 4 is usual")

    def _plan(self, request: Request) -> Plan:
        timesteps, ratios = self._stops(request)
        wide = ratios.astype(np.float64)
        alphas, sigmas = alpha_sigma(wide)
        calls = tuple(self._call(wide, i) for i in range(len(timesteps)))
        return one_call_plan(timesteps, alphas, sigmas, calls, init_scale=first_scale(self.timestep_spacing, float(sigmas[0])))

    def _call(self, ratios: F64, i: int) -> LMSCall:
        alpha, sigma = scales(float(ratios[i]))
        updates = []
        for order in range(1, min(i + 1, self.order) + 1):
            nodes = ratios[i - order + 1 : i + 1][::-1]
            if len(set(nodes.tolist())) < order:  # a step of no length before: there is no polynomial through two slopes at one stop
                break
            updates.append(self._weights(nodes, float(ratios[i + 1])))
        return LMSCall(alpha=alpha, sigma=sigma, updates=tuple(updates))

    def _weights(self, nodes: F64, end: float) -> Weights:
        newest, *earlier = lagrange_weights(nodes, end).tolist()
        (alpha, sigma), alpha_next = scales(float(nodes[0])), scales(end)[0]
        eps_x, eps_output = eps_weights(self.prediction_type, alpha, sigma)
        return Weights(
            x=alpha_next * (1 / alpha + newest * eps_x),
            output=alpha_next * newest * eps_output,
            history=tuple(alpha_next * weight for weight in earlier),
        )

    def _advance(self, c: LMSCall, state: State, output: Float, noise: Float | None) -> State:  # noqa: ARG002
        past = state.history[::-1]
        update = c.updates[self._order(c, len(past)) - 1]
        x = combined([(update.x, state.x), (update.output, output), *zip(update.history, past, strict=False)])
        if self.order == 1:
            return state.advance(x)
        slope = to_eps(self.prediction_type, state.x, output, c.alpha, c.sigma)
        return state.advance(x, history=(*state.history, slope)[-(self.order - 1) :])

    def _order(self, c: LMSCall, known: int) -> int:
        """Return the order of a call with so many earlier slopes: see the class for what diffusers 0.42.1 does."""
        return len(c.updates) if self.compat == "diffusers" else min(len(c.updates), known + 1)


def lagrange_weights(nodes: F64, end: float) -> F64:
    """Return the integral, from the first node to ``end``, of each Lagrange polynomial through the nodes: f64[len(nodes)].

    By Gauss-Legendre quadrature of as many points as make it exact.
    """
    points, shares = np.polynomial.legendre.leggauss((len(nodes) + 1) // 2)
    half = (end - nodes[0]) / 2
    at = nodes[0] + half * (points + 1)
    found = [half * (shares * np.prod([(at - other) / (node - other) for other in nodes[nodes != node]], axis=0)).sum() for node in nodes]
    return np.array(found)
