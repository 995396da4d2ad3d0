"""The posterior of a diffusion step, given the predicted x0 (Ho et al. 2020, arXiv:2006.11239, equations 6 and 7).

With beta between two stops, its mean is

    sqrt(alpha_bar') * beta / (1 - alpha_bar) * x0_hat + sqrt(1 - beta) * (1 - alpha_bar') / (1 - alpha_bar) * x

The variance is fixed at one of its two bounds, or the network predicts it: in the second half of its channels, as a logarithm
(Nichol and Dhariwal 2021, arXiv:2102.09672, equation 15; openai/improved-diffusion, ``gaussian_diffusion.py``).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sdrt.arrays import Array, Float
from sdrt.exact.mathematics import Functions
from sdrt.schedulers.core.prediction import Prediction, x0_weights
from sdrt.schedulers.core.run import State
from sdrt.schedulers.core.settings import check_fields, setting
from sdrt.schedulers.grids.timestep_table import TableLevels
from sdrt.schedulers.steps.bounded import bounded_step
from sdrt.schedulers.steps.bounds import X0Bound
from sdrt.schedulers.steps.linear import LinearStep, Weights, linear_combination

__all__ = ["PosteriorCall", "PosteriorVariance", "VarianceType", "advance_posterior", "posterior_calls"]

VarianceType = Literal["fixed_small", "fixed_small_log", "fixed_large", "fixed_large_log", "learned", "learned_range"]

# diffusers' floor of the lower bound, which would be 0, without a logarithm, for a step that ends without noise.
_LEAST_VARIANCE = 1e-20


@dataclass(frozen=True, kw_only=True)
class PosteriorCall:
    """The numbers of one step."""

    mean: Weights
    deviation: float  # of fresh noise, if it is fixed
    log_center: float  # if it is learned, its logarithm is log_center + log_slope * output
    log_slope: float


@dataclass(frozen=True, kw_only=True)
class PosteriorVariance:
    """Where the variance of the fresh noise comes from.

    ``fixed_small_log`` and ``fixed_large_log`` are ``fixed_small`` and ``fixed_large`` computed through logarithms. diffusers 0.42.1 takes
    the square root of the logarithm in the second, which is NaN.
    """

    # null comes from the configurations of DPM-Solver, and is the lower bound too
    kind: VarianceType = setting("fixed_small", "variance_type", foreign={None: "fixed_small"})

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def is_learned(self) -> bool:
        """Whether the network predicts it."""
        return self.kind in ("learned", "learned_range")

    def draws(self, timesteps: Array) -> tuple[bool, ...]:
        """Return for each call whether it draws: all but the last, which ends without noise."""
        return (True,) * (len(timesteps) - 1) + (False,)

    def log_deviation(self, low: Float, high: Float) -> tuple[Float, Float]:
        """Return (a, b) with log deviation = a + b * output; an output in [-1, 1] interpolates between the logarithms of both bounds."""
        if self.kind == "learned_range":
            return (low + high) / 4, (high - low) / 4
        return np.zeros_like(low), np.full_like(low, 0.5)

    def learned_deviation(self, c: PosteriorCall, output: Float, functions: Functions) -> Float:
        """Return the deviation that the network predicts."""
        deviation: Float = output * c.log_slope
        np.add(deviation, c.log_center, out=deviation)
        result: Float = functions.exp(deviation)
        return result


def posterior_calls(
    levels: TableLevels, betas: Float, prediction: Prediction, variance: PosteriorVariance, functions: Functions
) -> Iterator[PosteriorCall]:
    """Return the numbers of every step; ``betas`` f[n] belong to the interval of each step."""
    alpha_bar, alpha_bar_next = levels.alpha_bars, levels.ends
    x0, x = np.sqrt(alpha_bar_next) * betas / (1 - alpha_bar), np.sqrt(1 - betas) * (1 - alpha_bar_next) / (1 - alpha_bar)
    small = np.maximum((1 - alpha_bar_next) / (1 - alpha_bar) * betas, alpha_bar.dtype.type(_LEAST_VARIANCE))
    deviations = np.sqrt(betas if variance.kind in ("fixed_large", "fixed_large_log") else small)
    centers, slopes = variance.log_deviation(functions.log(small), functions.log(np.maximum(betas, small)))
    for stop, *numbers in zip(levels.stops, *(column.tolist() for column in (x0, x, deviations, centers, slopes)), strict=True):
        of_x0, of_x, deviation, center, slope = numbers
        mean = LinearStep(x0=of_x0, x=of_x).fold_x0(*x0_weights(prediction, stop.alpha, stop.sigma), stop)
        yield PosteriorCall(mean=mean, deviation=deviation, log_center=center, log_slope=slope)


def advance_posterior(
    c: PosteriorCall,
    prediction: Prediction,
    bound: X0Bound,
    variance: PosteriorVariance,
    state: State,
    output: Float,
    noise: Float | None,
    functions: Functions,
) -> State:
    """Draw from the posterior of one step; an output that includes the variance has twice the sample's channels."""
    channels = state.x.shape[1] if variance.is_learned else None
    mean = output[:, :channels] if channels else output
    if bound:
        x = bounded_step(c.mean, prediction, bound, state.x, mean, None)
    else:
        x = linear_combination((c.mean.x, c.mean.output), (state.x, mean))
    if noise is not None:
        fresh: Float = noise * (variance.learned_deviation(c, output[:, channels:], functions) if channels else c.deviation)
        np.add(x, fresh, out=x)
    return state.advance(x)
