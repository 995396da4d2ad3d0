"""The weights of single-step DPM-Solver(++): a step's last call, from where the step began.

Source: Lu et al. 2022, arXiv:2206.00927, algorithms 1 to 5 and appendix B; arXiv:2211.01095, algorithm 1 and section 5.
"""

import math

from sdrt.schedulers.core.settings import Compat
from sdrt.schedulers.dpm_update import Algorithm, Scales, SolverType, expands_x0, is_stochastic
from sdrt.schedulers.exponential import Weights, moment

__all__ = ["singlestep_weights"]


def singlestep_weights(algorithm: Algorithm, solver_type: SolverType, order: int, i: int, scales: Scales, compat: Compat = None) -> Weights:
    """Return the weights of the update to stop i + 1 from stop i + 1 - order, where the step of this order began.

    Over s, the share of the step that lies behind, the predictions are m(s) = D0 + s * D1 + s^2 / 2 * D2.

    Parameters
    ----------
    order : int
        1 to 3; the stops of the step must have different lambdas.
    compat : {"diffusers"}
        See :func:`_curve_weight`.

    Returns
    -------
    Weights of the sample where the step began, of the predictions from the newest (stop i) to the oldest, and of fresh noise
    """
    begin = i + 1 - order
    lambdas = [float(value) for value in scales.lambdas[begin : i + 2]]
    alpha, sigma = float(scales.alphas[i + 1]), float(scales.sigmas[i + 1])
    alpha_begin, sigma_begin = float(scales.alphas[begin]), float(scales.sigmas[begin])
    h = lambdas[-1] - lambdas[0] if lambdas[-1] != lambdas[0] else 0.0
    if not h:
        return Weights(sample=1.0, predictions=(0.0,) * order)
    if not expands_x0(algorithm):
        sample, scale, span, noise = alpha / alpha_begin, -sigma * h, -h, 0.0
    elif is_stochastic(algorithm):
        sample, scale, span = sigma / sigma_begin * math.exp(-h), alpha * 2 * h, 2 * h
        noise = sigma * math.sqrt(max(-math.expm1(-2 * h), 0.0))
    else:
        sample, scale, span, noise = sigma / sigma_begin, alpha * h, h, 0.0
    if math.isinf(h):  # the end without noise: x0 itself
        return Weights(sample=0.0, predictions=(alpha,), noise=0.0)
    shares = [(value - lambdas[0]) / h for value in lambdas[1:-1]]
    rise = scale * moment(0, span)
    slope = rise / 2 if order == 2 and solver_type == "midpoint" else scale * moment(1, span)
    if order == 1:
        predictions: tuple[float, ...] = (rise,)
    elif order == 2:
        predictions = (slope / shares[0], rise - slope / shares[0])
    elif solver_type == "midpoint":  # the slope is that to the newest prediction
        predictions = (slope / shares[1], 0.0, rise - slope / shares[1])
    else:
        predictions = _parabola(rise, slope, _curve_weight(scale, span, algorithm, compat), *shares)
    return Weights(sample=sample, predictions=predictions, noise=noise)


def _parabola(rise: float, slope: float, curve: float, near: float, far: float) -> tuple[float, float, float]:
    """Return the weights of the newest, middle and oldest prediction, at shares ``far``, ``near`` and 0.

    D1 and D2 are the first and second derivative of the parabola through the three.
    """
    newest = (slope * -near + curve * 2) / (far * (far - near))
    middle = (slope * far - curve * 2) / (near * (far - near))
    return newest, middle, rise - newest - middle


def _curve_weight(scale: float, span: float, algorithm: Algorithm, compat: Compat) -> float:
    """Return the weight of D2, the second derivative.

    For ``sde-dpmsolver++`` diffusers 0.42.1 has another sign before a half of it: its weight tends to -alpha with the step's length, where
    it should tend to 0.
    """
    right = scale * moment(2, span) / 2
    return right - scale / span if compat == "diffusers" and algorithm == "sde-dpmsolver++" else right
