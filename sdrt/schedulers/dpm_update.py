"""The updates of DPM-Solver and DPM-Solver++, deterministic and stochastic, multistep, orders 1 to 3.

With lambda = log(alpha / sigma), a step solves the flow from lambda_s to lambda_t exactly in its linear part, and expands what the network
predicts (x0 for DPM-Solver++, the noise for DPM-Solver) in differences of earlier predictions. All weights follow from the scales of the
stops alone, so that any sampler with an alpha and a sigma can take them, alpha = 1 ("variance exploding") among them.

Source: Lu et al. 2022 (arXiv:2206.00927 and arXiv:2211.01095); the stochastic ones as in the latter's section 5 and appendix C.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sdrt.arrays import Float
from sdrt.schedulers.core.numerics import Real
from sdrt.schedulers.core.settings import Compat

__all__ = ["Algorithm", "Scales", "SolverType", "Update", "expands_x0", "is_stochastic", "moved", "multistep_update"]

Algorithm = Literal["dpmsolver++", "dpmsolver", "sde-dpmsolver++", "sde-dpmsolver"]
SolverType = Literal["midpoint", "heun"]


def expands_x0(algorithm: Algorithm) -> bool:
    """Whether the predictions that an algorithm expands are x0; else they are the noise."""
    return algorithm.endswith("++")


def is_stochastic(algorithm: Algorithm) -> bool:
    """Whether an algorithm draws fresh noise at every step."""
    return algorithm.startswith("sde")


@dataclass(frozen=True, kw_only=True, eq=False)
class Scales:
    """What the weights of an update are made from: three numbers at each stop, in the numerics' own type."""

    alphas: Float  # f[calls + 1]: signal scale
    sigmas: Float  # f[calls + 1]: noise scale
    lambdas: tuple[Real, ...]  # log(alpha / sigma), infinite where there is no noise

    @classmethod
    def of(cls, alphas: Float, sigmas: Float) -> "Scales":
        """Add the lambdas."""
        return cls(alphas=alphas, sigmas=sigmas, lambdas=tuple(_log(a) - _log(s) for a, s in zip(alphas, sigmas, strict=True)))

    def history(self, i: int) -> int:
        """Return how many stops before stop i lie apart from each other: differences over others cannot be taken."""
        count = 0
        while count < i and self.lambdas[i - count] != self.lambdas[i - count - 1]:
            count += 1
        return count


@dataclass(frozen=True, kw_only=True)
class Update:
    """Weights of one update: x' = sample * x + first * D0 + second * D1 + third * D2 + noise * z, with differences D of predictions."""

    sample: float
    first: float
    second: float = 0.0
    third: float = 0.0
    noise: float = 0.0
    inverse_r0: float = 0.0  # D1 = inverse_r0 * (m0 - m1), in second order
    inverse_r1: float = 0.0
    mix: float = 0.0  # r0 / (r0 + r1)
    inverse_sum: float = 0.0  # 1 / (r0 + r1)


@dataclass(frozen=True, kw_only=True)
class _Form:
    """What an algorithm makes of a step of length h."""

    sample: Real
    scale: Real  # alpha where the step ends for x0, sigma for the noise
    e: Real  # exp(-span) for x0, exp(span) for the noise
    span: Real  # h, or 2 h where x0 is expanded with fresh noise
    sign: int  # x0 grows where the noise decays
    factor: float  # 2 where the noise is expanded with fresh noise
    noise: float


def _form(algorithm: Algorithm, i: int, scales: Scales, h: Real) -> _Form:
    """Return the form of the step from stop i.

    arXiv:2211.01095: equation 14 for x0, 17 and 18 for the stochastic ones; arXiv:2206.00927, equation 3.7 for the noise.
    """
    alphas, sigmas = scales.alphas, scales.sigmas
    if algorithm == "dpmsolver++":
        return _Form(sample=sigmas[i + 1] / sigmas[i], scale=alphas[i + 1], e=_exp(-h), span=h, sign=1, factor=1.0, noise=0.0)
    if algorithm == "sde-dpmsolver++":
        e = _exp(-2 * h)
        noise = float(sigmas[i + 1] * _sqrt(1 - e))
        return _Form(sample=sigmas[i + 1] / sigmas[i] * _exp(-h), scale=alphas[i + 1], e=e, span=2 * h, sign=1, factor=1.0, noise=noise)
    sample = alphas[i + 1] / alphas[i]
    if algorithm == "dpmsolver":
        return _Form(sample=sample, scale=sigmas[i + 1], e=_exp(h), span=h, sign=-1, factor=1.0, noise=0.0)
    noise = float(sigmas[i + 1] * _sqrt(_exp(2 * h) - 1))
    return _Form(sample=sample, scale=sigmas[i + 1], e=_exp(h), span=h, sign=-1, factor=2.0, noise=noise)


def multistep_update(algorithm: Algorithm, solver_type: SolverType, order: int, i: int, scales: Scales, compat: Compat = None) -> Update:
    """Return the weights of the update from stop i to the next.

    The order of operations is diffusers', so that results agree to the bit.

    Parameters
    ----------
    solver_type : {"midpoint", "heun"}
        Two forms of the second-order term.
    order : int
        1 to 3, and at most 1 + ``scales.history(i)``; 1 where the next stop has no noise.
    compat : {"diffusers"}
        See :func:`_third_weight`.
    """
    if scales.lambdas[i + 1] == scales.lambdas[i]:  # a step of no length leaves the sample
        return Update(sample=1.0, first=0.0)
    h = scales.lambdas[i + 1] - scales.lambdas[i]
    form = _form(algorithm, i, scales, h)
    decay = form.scale * (form.e - 1)
    sample, first, noise = float(form.sample), float(-form.factor * decay), form.noise
    if order == 1:
        return Update(sample=sample, first=first, noise=noise)
    r0 = (scales.lambdas[i] - scales.lambdas[i - 1]) / h
    slope = form.factor * form.sign * (form.scale * ((form.e - 1) / form.span + form.sign))
    if order == 2:
        second = -0.5 * form.factor * decay if solver_type == "midpoint" else slope
        return Update(sample=sample, first=first, second=float(second), noise=noise, inverse_r0=float(1 / r0))
    r1 = (scales.lambdas[i - 1] - scales.lambdas[i - 2]) / h
    return Update(
        sample=sample,
        first=first,
        second=float(slope),
        third=float(_third_weight(form, algorithm, compat)),
        noise=noise,
        inverse_r0=float(1 / r0),
        inverse_r1=float(1 / r1),
        mix=float(r0 / (r0 + r1)),
        inverse_sum=float(1 / (r0 + r1)),
    )


def _third_weight(form: _Form, algorithm: Algorithm, compat: Compat) -> Real:
    """Return the weight of D2 in third order, as the authors' code has it.

    D2 there is the second divided difference, half the second derivative, but the weight is that of the whole: the update converges with
    order 2. Twice this weight measures order 3.02. For ``sde-dpmsolver++`` diffusers 0.42.1 has another sign before the half, so that the
    weight tends to -1 with the step's length, where it should tend to 0 (k-diffusion's ``sample_dpmpp_3m_sde`` is right).
    """
    curve = (form.e - 1 + form.sign * form.span) / (form.span * form.span)
    half = -0.5 if compat == "diffusers" and algorithm == "sde-dpmsolver++" else 0.5
    return -form.factor * (form.scale * (curve - half))


def moved(u: Update, x: Float, m: tuple[Float, ...], noise: Float | None = None) -> Float:
    """Return the sample after an update, in a fresh array.

    Parameters
    ----------
    m : tuple of float arrays
        As many predictions as the update's order, the newest first.
    """
    result = _UPDATES[len(m)](u, x, *m)
    return result if noise is None or not u.noise else np.add(result, noise * u.noise, out=result)


def _log(x: Real) -> Real:
    """Logarithm in double precision, rounded to x's type; minus infinity at 0."""
    return type(x)(math.log(float(x)) if x else -math.inf)


def _exp(x: Real) -> Real:
    """Exponential in double precision, rounded to x's type."""
    return type(x)(math.exp(float(x)))


def _sqrt(x: Real) -> Real:
    """Square root in x's type; 0 below 0, as where a step leads up in noise, from which none can be taken."""
    return type(x)(math.sqrt(max(float(x), 0.0)))


def _first_order(u: Update, x: Float, m0: Float) -> Float:
    result: Float = x * u.sample
    term: Float = m0 * u.first
    return np.add(result, term, out=result)


def _second_order(u: Update, x: Float, m0: Float, m1: Float) -> Float:
    result = _first_order(u, x, m0)
    d1 = np.subtract(m0, m1)
    np.multiply(d1, u.inverse_r0, out=d1)
    np.multiply(d1, u.second, out=d1)
    return np.add(result, d1, out=result)


def _third_order(u: Update, x: Float, m0: Float, m1: Float, m2: Float) -> Float:
    result = _first_order(u, x, m0)
    near, far = np.subtract(m0, m1), np.subtract(m1, m2)
    np.multiply(near, u.inverse_r0, out=near)
    np.multiply(far, u.inverse_r1, out=far)
    np.subtract(near, far, out=far)
    np.add(near, far * u.mix, out=near)  # D1
    np.multiply(far, u.inverse_sum, out=far)  # D2
    np.add(result, np.multiply(near, u.second, out=near), out=result)
    return np.add(result, np.multiply(far, u.third, out=far), out=result)


_UPDATES: dict[int, Callable[..., Float]] = {1: _first_order, 2: _second_order, 3: _third_order}
