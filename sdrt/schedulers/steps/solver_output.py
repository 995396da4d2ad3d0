"""The prediction that DPM-Solver's family takes from a network's output: the clean sample within its bound, or the noise."""

from dataclasses import dataclass
from typing import Literal

from sdrt.arrays import Float
from sdrt.schedulers.core.prediction import Prediction, to_eps, to_x0
from sdrt.schedulers.core.settings import check_fields, group, setting
from sdrt.schedulers.steps.bounds import X0Bound

__all__ = ["SolverOutput", "VarianceType"]

VarianceType = Literal["learned", "learned_range"] | None

_FIXED_VARIANCES = ("fixed_small", "fixed_small_log", "fixed_large", "fixed_large_log")


@dataclass(frozen=True, kw_only=True)
class SolverOutput:
    """The bound of x0, and whether the network also predicts a variance, which these samplers ignore."""

    bound: X0Bound = group(X0Bound, without=["clip_sample", "clip_sample_range"])
    # the other values come from DDPM's configurations, whose networks predict no variance
    variance_type: VarianceType = setting(None, foreign=dict.fromkeys(_FIXED_VARIANCES))

    def __post_init__(self) -> None:
        check_fields(self)

    def x0(self, prediction: Prediction, x: Float, output: Float, alpha: float, noise_scale: float) -> Float:
        """Return the predicted x0 within its bound, of x's shape and dtype.

        Parameters
        ----------
        output : float array
            Of x's shape, or with a variance in further channels.
        noise_scale : float
            The noise scale that the prediction belongs to: see :meth:`Grid.noise_scale`.
        """
        mean = output if output.shape == x.shape else output[:, : x.shape[1]]
        return self.bound(to_x0(prediction, x, mean, alpha, noise_scale))

    def eps(self, prediction: Prediction, x: Float, output: Float, alpha: float, sigma: float) -> Float:
        """Return the predicted noise, of x's shape and dtype: that of the bounded x0, where there is a bound."""
        mean = output if output.shape == x.shape else output[:, : x.shape[1]]
        eps = to_eps(prediction, x, mean, alpha, sigma)
        return to_eps("sample", x, self.bound(to_x0("epsilon", x, eps, alpha, sigma)), alpha, sigma) if self.bound else eps
