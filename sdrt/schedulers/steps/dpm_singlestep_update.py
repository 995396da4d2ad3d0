"""The weights of single-step DPM-Solver(++): a step's last call, from where the step began.

Over s, the share of the step that lies behind, the predictions are m(s) = D0 + s * D1 + s**2 / 2 * D2, and a step of length h is, over x0,

    x' = sigma' / sigma * x + alpha' * h * (phi_0 * D0 + phi_1 * D1 + phi_2 / 2 * D2),    phi_k = integral of exp(-h (1 - s)) s**k ds.

Source: Lu et al. 2022, arXiv:2206.00927, algorithms 1 to 5 and appendix B; arXiv:2211.01095, algorithm 1 and section 5.
"""

import math
from dataclasses import dataclass

from sdrt.schedulers.core.run import Scales
from sdrt.schedulers.steps.dpm_update import Algorithm, SolverType, expands_x0, is_stochastic
from sdrt.schedulers.steps.exponential import moment

__all__ = ["SinglestepUpdate", "singlestep_update"]


@dataclass(frozen=True, kw_only=True)
class SinglestepUpdate:
    """Weights of one update: x' = sample * (the sample where the step began) + predictions * m, newest first, + noise * z."""

    sample: float
    predictions: tuple[float, ...]
    noise: float = 0.0


def singlestep_update(
    algorithm: Algorithm, solver_type: SolverType, order: int, i: int, scales: Scales, half: float = 0.5
) -> SinglestepUpdate:
    """Return the weights of the update to stop i + 1 from stop i + 1 - order, where the step of this order began.

    Parameters
    ----------
    order : int
        1 to 3; the stops of the step must have different lambdas.
    scales : Scales of Python floats
    half : float
        1/2; another value in the weight of D2 reproduces a bug of another tool.
    """
    begin = i + 1 - order
    lambdas = scales.lambdas[begin : i + 2]
    alpha, sigma = scales.alphas[i + 1], scales.sigmas[i + 1]
    alpha_begin, sigma_begin = scales.alphas[begin], scales.sigmas[begin]
    if lambdas[-1] == lambdas[0]:  # a step of length zero keeps the sample
        return SinglestepUpdate(sample=1.0, predictions=(0.0,) * order)
    h = lambdas[-1] - lambdas[0]
    if not expands_x0(algorithm):
        sample, scale, span, noise = alpha / alpha_begin, -sigma * h, -h, 0.0
    elif is_stochastic(algorithm):
        sample, scale, span = sigma / sigma_begin * scales.functions.exp(-h), alpha * 2 * h, 2 * h
        noise = sigma * math.sqrt(max(-scales.functions.expm1(-2 * h), 0.0))
    else:
        sample, scale, span, noise = sigma / sigma_begin, alpha * h, h, 0.0
    if math.isinf(h):  # the end without noise: x0 itself
        return SinglestepUpdate(sample=0.0, predictions=(alpha,))
    shares = [(value - lambdas[0]) / h for value in lambdas[1:-1]]
    rise = scale * moment(0, span, scales.functions)
    slope = rise / 2 if order == 2 and solver_type == "midpoint" else scale * moment(1, span, scales.functions)
    if order == 1:
        predictions: tuple[float, ...] = (rise,)
    elif order == 2:
        predictions = (slope / shares[0], rise - slope / shares[0])
    elif solver_type == "midpoint":  # the slope is that to the newest prediction
        predictions = (slope / shares[1], 0.0, rise - slope / shares[1])
    else:
        curve = scale * moment(2, span, scales.functions) / 2 - (0.5 - half) * scale / span
        predictions = _parabola(rise, slope, curve, *shares)
    return SinglestepUpdate(sample=sample, predictions=predictions, noise=noise)


def _parabola(rise: float, slope: float, curve: float, near: float, far: float) -> tuple[float, float, float]:
    """Return the weights of the newest, middle and oldest prediction, at shares ``far``, ``near`` and 0.

    D1 and D2 are the first and second derivative of the parabola through the three.
    """
    newest = (slope * -near + curve * 2) / (far * (far - near))
    middle = (slope * far - curve * 2) / (near * (far - near))
    return newest, middle, rise - newest - middle
