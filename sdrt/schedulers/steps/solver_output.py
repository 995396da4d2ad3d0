"""What DPM-Solver's family makes of a network's output: the clean sample within its bound, or the noise."""

from dataclasses import dataclass
from typing import Literal

from sdrt.arrays import Float
from sdrt.schedulers.core.prediction import Prediction, to_eps, to_x0
from sdrt.schedulers.core.settings import group, setting
from sdrt.schedulers.steps.bounds import X0Bound

__all__ = ["SolverOutput", "VarianceType"]

VarianceType = Literal["learned", "learned_range"] | None


@dataclass(frozen=True, kw_only=True)
class SolverOutput:
    """How far x0 may go, and whether the network also says a variance, which these samplers leave aside."""

    bound: X0Bound = group(X0Bound, without=["clip_sample", "clip_sample_range"])
    variance_type: VarianceType = setting(None)

    def is_doubled(self, prediction: Prediction) -> bool:
        """Whether the output has twice the sample's channels: a noise and its variance."""
        return self.variance_type is not None and prediction == "epsilon"

    def x0(self, prediction: Prediction, x: Float, output: Float, alpha: float, noise_scale: float) -> Float:
        """Return the predicted x0 within its bound, of x's shape and dtype.

        Parameters
        ----------
        noise_scale : float
            That the prediction belongs to: see :meth:`Grid.noise_scale`.
        """
        return self.bound(to_x0(prediction, x, self._mean(prediction, output), alpha, noise_scale))

    def eps(self, prediction: Prediction, x: Float, output: Float, alpha: float, sigma: float) -> Float:
        """Return the predicted noise, of x's shape and dtype: that of the bounded x0, where there is a bound."""
        eps = to_eps(prediction, x, self._mean(prediction, output), alpha, sigma)
        return to_eps("sample", x, self.bound(to_x0("epsilon", x, eps, alpha, sigma)), alpha, sigma) if self.bound else eps

    def _mean(self, prediction: Prediction, output: Float) -> Float:
        """Return the prediction without its variance."""
        return output[:, : output.shape[1] // 2] if self.is_doubled(prediction) else output
