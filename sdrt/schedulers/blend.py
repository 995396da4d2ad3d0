"""Steps that mix the predicted x0 with the sample itself: x' = x0 * predicted x0 + x * sample, as the mean of a posterior does."""

from dataclasses import dataclass

import numpy as np

from sdrt.arrays import Float
from sdrt.schedulers.core.prediction import Prediction, to_x0, x0_weights
from sdrt.schedulers.steps.bounds import X0Bound

__all__ = ["Blend", "blended", "blends"]


@dataclass(frozen=True, kw_only=True)
class Blend:
    """The numbers of one mix."""

    alpha: float  # scales where the step starts
    sigma: float
    x0: float  # weight of the predicted x0
    x: float  # weight of the sample
    sample: float  # the same as one sum: x' = sample * x + output * network output
    output: float


def blends(prediction: Prediction, alphas: Float, sigmas: Float, x0: Float, x: Float) -> tuple[Blend, ...]:
    """Return the numbers of every step; all arrays are f[n], as in :class:`Blend`."""
    columns = (alphas, sigmas, x0, x)
    return tuple(_blend(prediction, *numbers) for numbers in zip(*(column.tolist() for column in columns), strict=True))


def _blend(prediction: Prediction, alpha: float, sigma: float, x0: float, x: float) -> Blend:
    of_x, of_output = x0_weights(prediction, alpha, sigma)
    return Blend(alpha=alpha, sigma=sigma, x0=x0, x=x, sample=x + x0 * of_x, output=x0 * of_output)


def blended(c: Blend, prediction: Prediction, bound: X0Bound, x: Float, output: Float) -> Float:
    """Return the mix in a fresh array of x's shape and dtype."""
    if bound:
        mixed: Float = bound(to_x0(prediction, x, output, c.alpha, c.sigma)) * c.x0
        np.add(mixed, x * c.x, out=mixed)
        return mixed
    mixed = x * c.sample
    np.add(mixed, output * c.output, out=mixed)
    return mixed
