"""Predictor-corrector steps: predict the next sample from earlier predictions, then correct it by the network's prediction there.

Both the prediction and the correction of a step start from the same sum of the sample and fresh noise, its *base*:

    predicted = base + sum of weights * m,    corrected = base + sum of other weights * m, the new m among them.

A correction costs no network call: it moves the sample from which the next step starts.
"""

from dataclasses import dataclass

import numpy as np

from sdrt.arrays import Float
from sdrt.schedulers.core.run import State

__all__ = ["PredictorCorrectorCall", "correct_and_predict"]


@dataclass(frozen=True, kw_only=True)
class PredictorCorrectorCall:
    """The numbers of one call."""

    alpha: float
    sigma: float
    noise_scale: float  # that the prediction belongs to
    correctors: tuple[tuple[float, ...], ...] = ()  # by the number of earlier predictions, from 1; over the new one and those, newest first
    sample: float  # base = sample * x + noise * z
    noise: float = 0.0
    predictors: tuple[tuple[float, ...], ...]  # by order, from 1; over predictions, newest first


def correct_and_predict(c: PredictorCorrectorCall, state: State, prediction: Float, noise: Float | None, memory: int) -> State:
    """Correct the sample of the last step by this call's prediction, and predict the next from there.

    Parameters
    ----------
    prediction : float array of the sample's shape
        The prediction of this call: x0, or the noise.
    memory : int
        How many earlier predictions a call uses.
    """
    m = (prediction, *state.history[::-1])
    x = state.x
    if c.correctors and state.step_start is not None:
        x = _plus_base(state.step_start, c.correctors[min(len(c.correctors), len(state.history)) - 1], m)
    base: Float = x * c.sample
    if noise is not None and c.noise:
        np.add(base, noise * c.noise, out=base)
    predicted = _plus_base(base, c.predictors[min(len(c.predictors), len(m)) - 1], m)
    return state.advance(predicted, history=m[:memory][::-1], step_start=base)


def _plus_base(base: Float, weights: tuple[float, ...], m: tuple[Float, ...]) -> Float:
    """Return a weighted sum of predictions plus the base, in a fresh array; predictions without a weight are ignored."""
    total: Float = m[0] * weights[0]
    for array, weight in zip(m[1 : len(weights)], weights[1:], strict=True):
        if weight:
            np.add(total, array * weight, out=total)
    return np.add(total, base, out=total)
