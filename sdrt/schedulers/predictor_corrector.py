"""Samplers that predict the next sample from predictions behind it, and correct it by the one that the network then makes there.

Both the prediction and the correction of a step start from the same sum of the sample and fresh noise, its *base*:

    predicted = base + sum of weights * m,    corrected = base + sum of other weights * m, the new m among them.

A correction costs no network call: it moves the sample from which the next step starts.
"""

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np

from sdrt.arrays import Float
from sdrt.schedulers.core.run import State
from sdrt.schedulers.dpm_update import Scales
from sdrt.schedulers.solver import SolverSampler

__all__ = ["PredictorCorrector", "PredictorCorrectorCall", "step_shares"]


@dataclass(frozen=True, kw_only=True)
class PredictorCorrectorCall:
    """The numbers of one call."""

    alpha: float
    sigma: float
    correctors: tuple[tuple[float, ...], ...]  # by the number of predictions behind, from 1; over the new one and those, newest first
    sample: float  # base = sample * x + noise * z
    noise: float
    predictors: tuple[tuple[float, ...], ...]  # by order, from 1; over predictions, newest first


@dataclass(frozen=True, kw_only=True)
class PredictorCorrector(SolverSampler):
    """A sampler that is described by its calls."""

    @property
    @abstractmethod
    def _expands_x0(self) -> bool:
        """Whether the predictions are x0; else they are the noise."""

    @property
    @abstractmethod
    def _memory(self) -> int:
        """How many predictions behind a call looks at."""

    def _prediction(self, c: PredictorCorrectorCall, state: State, output: Float) -> Float:
        convert = self._x0 if self._expands_x0 else self._eps
        return convert(state.x, output, c.alpha, c.sigma)

    def _advance(self, c: PredictorCorrectorCall, state: State, output: Float, noise: Float | None) -> State:
        m = (self._prediction(c, state, output), *state.history[::-1])
        x = state.x
        if c.correctors and state.step_start is not None:
            x = _added(state.step_start, c.correctors[min(len(c.correctors), len(state.history)) - 1], m)
        base: Float = x * c.sample
        if noise is not None and c.noise:
            np.add(base, noise * c.noise, out=base)
        moved = _added(base, c.predictors[min(len(c.predictors), len(m)) - 1], m)
        return state.advance(moved, history=m[: self._memory][::-1], step_start=base)


def _added(base: Float, weights: tuple[float, ...], m: tuple[Float, ...]) -> Float:
    """Return the base plus a weighted sum of predictions, in a fresh array; those without a weight are not looked at."""
    total: Float = m[0] * weights[0]
    for array, weight in zip(m[1 : len(weights)], weights[1:], strict=True):
        if weight:
            np.add(total, array * weight, out=total)
    return np.add(total, base, out=total)


def step_shares(i: int, scales: Scales, behind: int) -> tuple[float, ...]:
    """Return where the predictions of stop i and of as many before it lie, in shares of the step from stop i: 0, and below."""
    here, there = float(scales.lambdas[i]), float(scales.lambdas[i + 1])
    return tuple((float(scales.lambdas[i - k]) - here) / (there - here) for k in range(behind + 1))
