"""The prediction types of networks, and conversions between them. With x = alpha * x0 + sigma * eps:

================ =============================== ==================================
prediction       x0                              eps
================ =============================== ==================================
epsilon          (x - sigma * output) / alpha    output
v_prediction     alpha * x - sigma * output      alpha * output + sigma * x
sample           output                          (x - alpha * output) / sigma
flow_prediction  x - sigma * output              x + alpha * output
================ =============================== ==================================

A flow is eps - x0, at stops where alpha + sigma = 1; a velocity alpha * eps - sigma * x0, where their squares add up to 1.

Source: Ho et al. 2020, equation 4; Salimans and Ho 2022 (arXiv:2202.00512), appendix D; Lipman et al. 2023 (arXiv:2210.02747).
"""

from typing import Literal

import numpy as np

from sdrt.arrays import Float
from sdrt.errors import ConfigError

__all__ = ["Prediction", "check_alpha", "eps_weights", "to_eps", "to_x0", "x0_weights"]

Prediction = Literal["epsilon", "v_prediction", "sample", "flow_prediction"]


def check_alpha(prediction: Prediction, smallest_alpha: float) -> None:
    """Raise ConfigError if eps is predicted at a stop without signal, where no x0 follows from it."""
    if prediction == "epsilon" and smallest_alpha == 0:
        raise ConfigError(
            "prediction_type must be v_prediction or sample at a timestep of pure noise (rescale_betas_zero_snr), got epsilon; "
            "use such a model, or leading spacing"
        )


def x0_weights(prediction: Prediction, alpha: float, sigma: float) -> tuple[float, float]:
    """Return (a, b) with x0 = a * x + b * output.

    >>> x0_weights("epsilon", 0.8, 0.6)
    (1.25, -0.7499999999999999)
    """
    match prediction:
        case "epsilon":
            return 1 / alpha, -sigma / alpha
        case "v_prediction":
            return alpha, -sigma
        case "sample":
            return 0.0, 1.0
        case "flow_prediction":
            return 1.0, -sigma
        case _:
            raise ConfigError(f"prediction_type must be epsilon, v_prediction, sample or flow_prediction, got {prediction!r}; choose one")


def eps_weights(prediction: Prediction, alpha: float, sigma: float) -> tuple[float, float]:
    """Return (a, b) with eps = a * x + b * output."""
    match prediction:
        case "epsilon":
            return 0.0, 1.0
        case "v_prediction":
            return sigma, alpha
        case "sample":
            return 1 / sigma, -alpha / sigma
        case "flow_prediction":
            return 1.0, alpha


def to_x0(prediction: Prediction, x: Float, output: Float, alpha: float, sigma: float) -> Float:
    """Return the predicted x0, of x's shape and dtype; an output that already is x0 is returned itself.

    The order of operations is diffusers', so that results agree to the bit.
    """
    x0: Float
    match prediction:
        case "epsilon":
            x0 = output * sigma
            np.subtract(x, x0, out=x0)
            return np.divide(x0, alpha, out=x0)
        case "v_prediction":
            x0 = x * alpha
            x0 += output * -sigma
            return x0
        case "sample":
            return output
        case "flow_prediction":
            x0 = output * sigma
            return np.subtract(x, x0, out=x0)


def to_eps(prediction: Prediction, x: Float, output: Float, alpha: float, sigma: float) -> Float:
    """Return the predicted noise, of x's shape and dtype; an output that already is the noise is returned itself."""
    eps: Float
    match prediction:
        case "epsilon":
            return output
        case "v_prediction":
            eps = output * alpha
            eps += x * sigma
            return eps
        case "sample":
            eps = output * alpha
            np.subtract(x, eps, out=eps)
            return np.divide(eps, sigma, out=eps)
        case "flow_prediction":
            eps = output * alpha
            return np.add(x, eps, out=eps)
