"""Linear multistep sampling (K. Crowson's k-diffusion, ``sample_lms``): Adams-Bashforth over unevenly spaced stops.

With r = sigma / alpha, in which the flow's slope is the noise that the network sees, and Lagrange polynomials L_j through the last stops,

    x' / alpha' = x / alpha + sum over j of (integral of L_j from r to r') * eps_hat_j
"""

import operator
from dataclasses import dataclass
from functools import cache, reduce
from typing import ClassVar, Literal, NamedTuple

import numpy as np

from sdrt.arrays import F64, Float
from sdrt.exact.mathematics import PLATFORM, Functions
from sdrt.schedulers.core.kinds import whole
from sdrt.schedulers.core.prediction import eps_weights, to_eps
from sdrt.schedulers.core.run import Level, Plan, Request, State
from sdrt.schedulers.core.sampler import Sampler
from sdrt.schedulers.core.settings import group, option, setting
from sdrt.schedulers.grids.ratio import RatioGrid
from sdrt.schedulers.steps.linear import linear_combination, plan_of

__all__ = ["LMS", "LMSCall", "LMSUpdate", "lagrange_weights"]


class LMSUpdate(NamedTuple):
    """One update: x' = x * sample + output * newest output + history * earlier slopes, newest first."""

    x: float
    output: float
    history: tuple[float, ...]


class LMSCall(NamedTuple):
    """The numbers of one call."""

    alpha: float
    sigma: float
    updates: tuple[LMSUpdate, ...]  # by order, up to the highest of this call


@dataclass(frozen=True, kw_only=True)
class LMS(Sampler):
    """The slope, as a function of the ratio, is the polynomial through the last ``order`` ones, integrated exactly to the next stop.

    The order grows with the number of known slopes.
    """

    name: ClassVar[str] = "LMSDiscreteScheduler"
    step_options: ClassVar[tuple[str, ...]] = ("order",)

    prediction_type: Literal["epsilon", "v_prediction", "sample"] = setting("epsilon")
    grid: RatioGrid = group(RatioGrid, without=["final_sigmas_type", "rescale_betas_zero_snr"])
    order: int = option(4, whole(1, 20))  # the number of slopes, and the order of convergence

    def _plan(self, request: Request) -> Plan:
        stops = self.grid.levels(request).stops
        return plan_of(stops, [self._call(stops, i) for i in range(len(stops) - 1)], self.grid.init_scale(stops[0]))

    def _call(self, stops: tuple[Level, ...], i: int) -> LMSCall:
        updates = []
        for order in range(1, min(i + 1, self.order) + 1):
            nodes = stops[i - order + 1 : i + 1][::-1]
            if len({level.ratio for level in nodes}) < order:  # a step of no length: there is no polynomial through two slopes at one stop
                break
            updates.append(self._update(nodes, stops[i + 1]))
        return LMSCall(alpha=stops[i].alpha, sigma=stops[i].sigma, updates=tuple(updates))

    def _update(self, nodes: tuple[Level, ...], end: Level) -> LMSUpdate:
        """Return the update along the polynomial through these stops, newest first.

        The newest slope is folded into the output here: ``LinearStep`` has alpha' inside or outside the sum, and this update has it outside
        for the sample and inside for the output, on which last bits depend.
        """
        newest, *earlier = lagrange_weights(np.array([level.ratio for level in nodes]), end.ratio, self.functions).tolist()
        eps_x, eps_output = eps_weights(self.prediction_type, nodes[0].alpha, nodes[0].sigma)
        return LMSUpdate(
            x=end.alpha * (1 / nodes[0].alpha + newest * eps_x),
            output=end.alpha * newest * eps_output,
            history=tuple(end.alpha * weight for weight in earlier),
        )

    def _advance(self, c: LMSCall, state: State, output: Float, noise: Float | None) -> State:  # noqa: ARG002
        slopes = state.history[::-1]
        update = c.updates[self._order_of(c, len(slopes)) - 1]
        past = slopes[: len(update.history)]
        x = linear_combination((update.x, update.output, *update.history[: len(past)]), (state.x, output, *past))
        if self.order == 1:
            return state.advance(x)
        slope = to_eps(self.prediction_type, state.x, output, c.alpha, c.sigma)
        return state.advance(x, history=(*state.history, slope)[-(self.order - 1) :])

    def _order_of(self, c: LMSCall, known: int) -> int:
        """Return the order of a call with this number of earlier slopes."""
        return min(len(c.updates), known + 1)


def lagrange_weights(nodes: F64, end: float, functions: Functions = PLATFORM) -> F64:
    """Return the integral, from the first node to ``end``, of each Lagrange polynomial through the nodes: f64[len(nodes)].

    By Gauss-Legendre quadrature of as many points as make it exact.
    """
    points, shares = _gauss_legendre((len(nodes) + 1) // 2, functions)
    half = (end - nodes[0]) / 2
    at = nodes[0] + half * (points + 1)
    integrals = []
    for node in nodes:
        values = reduce(operator.mul, [(at - other) / (node - other) for other in nodes[nodes != node]], 1.0)
        integrals.append(half * functions.sum(shares * values, 0))
    return np.array(integrals)


@cache
def _gauss_legendre(num_points: int, functions: Functions) -> tuple[F64, F64]:
    """Return points and weights of the quadrature in [-1, 1]; finding them takes longer than a step."""
    return functions.gauss_legendre(num_points)
