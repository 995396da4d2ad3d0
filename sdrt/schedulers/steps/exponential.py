"""Weights of exponential integrators: integrals of a polynomial through predictions, against the exponential of the linear part.

With lambda = log(alpha / sigma) and a step of length h, the flow over a prediction m is, exactly,

    x0:     x' = sigma' / sigma * x + alpha' * h * integral of exp(-h (1 - s)) m(s) ds over s in [0, 1],
    noise:  x' = alpha' / alpha * x - sigma' * h * integral of exp(+h (1 - s)) m(s) ds

(Lu et al. 2022, arXiv:2206.00927, equation 3.4, and arXiv:2211.01095, equation 9). DEIS, UniPC and SA-Solver put Lagrange polynomials in
the place of m: Adams-Bashforth through earlier stops, Adams-Moulton through the next one too.
"""

import math

from sdrt.exact.mathematics import PLATFORM, Functions
from sdrt.schedulers.core.run import Scales

__all__ = ["adams_weights", "moment", "step_shares"]

_SMALL = 1.0  # below this a series is summed, because each division of the recurrence loses a digit
_TERMS = 24  # of that series: 1 / 24! is below the last digit


def moment(k: int, z: float, functions: Functions = PLATFORM) -> float:
    """Return the integral of exp(-z (1 - s)) s^k over s in [0, 1].

    >>> moment(0, 0.0), moment(2, 0.0), round(moment(1, 2.0), 12)
    (1.0, 0.3333333333333333, 0.283833820809)
    """
    if abs(z) < _SMALL:
        return math.fsum(functions.power(-z, j) * math.factorial(k) / math.factorial(k + j + 1) for j in range(_TERMS))
    value: float = -functions.expm1(-z) / z
    for power in range(1, k + 1):
        value = (1 - power * value) / z
    return value


def adams_weights(z: float, shares: tuple[float, ...], functions: Functions = PLATFORM) -> tuple[float, ...]:
    """Return the weights of predictions at these shares of a step: integrals of their Lagrange polynomials against exp(-z (1 - s)).

    Parameters
    ----------
    shares : tuple of float
        The place of each prediction: 0 at the beginning of the step, 1 at its end, negative before it.

    >>> [round(weight, 12) for weight in adams_weights(0.0, (0.0, -1.0))]  # the classical method of second order
    [1.5, -0.5]
    """
    moments = [moment(k, z, functions) for k in range(len(shares))]
    return tuple(_integral(_lagrange(shares, j), moments) for j in range(len(shares)))


def step_shares(i: int, scales: Scales, behind: int) -> tuple[float, ...]:
    """Return the places of the predictions at stop i and at ``behind`` stops before it, in shares of the step from stop i: 0 and below."""
    begin, end = scales.lambdas[i], scales.lambdas[i + 1]
    return tuple((scales.lambdas[i - k] - begin) / (end - begin) for k in range(behind + 1))


def _integral(coefficients: list[float], moments: list[float]) -> float:
    return math.fsum(c * m for c, m in zip(coefficients, moments, strict=True))


def _lagrange(shares: tuple[float, ...], j: int) -> list[float]:
    """Return the coefficients, constant first, of the polynomial that is 1 at one share and 0 at the others."""
    coefficients = [1.0]
    for i, share in enumerate(shares):
        if i != j:
            width = shares[j] - share
            raised, same = [0.0, *coefficients], [*coefficients, 0.0]
            coefficients = [(up - share * own) / width for up, own in zip(raised, same, strict=True)]
    return coefficients
