"""The updates of DPM-Solver and DPM-Solver++, deterministic and stochastic, multistep, orders 1 to 3.

With lambda = log(alpha / sigma), a step solves the flow from lambda_s to lambda_t exactly in its linear part, and expands what the network
predicts (x0 for DPM-Solver++, the noise for DPM-Solver) in differences of earlier predictions. All weights follow from the scales of the
stops alone, so that any sampler with an alpha and a sigma can take them, alpha = 1 ("variance exploding") among them.

Source: Lu et al. 2022 (arXiv:2206.00927 and arXiv:2211.01095); the stochastic ones as in the latter's section 5 and appendix C.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from sdrt.arrays import Float
from sdrt.errors import ConfigError
from sdrt.schedulers.core.run import Scales

__all__ = [
    "FEW_STEPS",
    "Algorithm",
    "SolverType",
    "Update",
    "apply_update",
    "check_end",
    "expands_x0",
    "is_stochastic",
    "multistep_update",
]

Algorithm = Literal["dpmsolver++", "dpmsolver", "sde-dpmsolver++", "sde-dpmsolver"]
SolverType = Literal["midpoint", "heun"]

FEW_STEPS = 15  # below this, lower_order_final lowers the order of the last two steps (diffusers)


def expands_x0(algorithm: Algorithm) -> bool:
    """Return whether an algorithm expands predictions of x0; the others expand the noise."""
    return algorithm.endswith("++")


def is_stochastic(algorithm: Algorithm) -> bool:
    """Return whether an algorithm draws fresh noise at every step."""
    return algorithm.startswith("sde")


def check_end(algorithm: Algorithm, *, ends_at_zero: bool) -> None:
    """Raise ConfigError if an algorithm that expands the noise ends at sigma 0."""
    if ends_at_zero and not expands_x0(algorithm):
        raise ConfigError(f"algorithm_type {algorithm} cannot end at sigma 0; set final_sigmas_type sigma_min, or take dpmsolver++")


@dataclass(frozen=True, kw_only=True)
class Update:
    """Weights of one update: x' = sample * x + first * D0 + second * D1 + third * D2 + noise * z, with differences D of predictions m.

    D0 = m0, the newest; D1 = (m0 - m1) / r0; in third order, with near = (m0 - m1) / r0 and far = (m1 - m2) / r1,
    D1 = near + r0 / (r0 + r1) * (near - far) and D2 = (near - far) / (r0 + r1).
    """

    sample: float
    first: float
    second: float = 0.0
    third: float = 0.0
    noise: float = 0.0
    inverse_r0: float = 0.0  # 1 / r0, where r0 and r1 are the lengths of the last two steps, in steps of this one
    inverse_r1: float = 0.0
    mix: float = 0.0  # r0 / (r0 + r1)
    inverse_sum: float = 0.0  # 1 / (r0 + r1)


@dataclass(frozen=True, kw_only=True)
class _Form:
    """The numbers of a step of length h, for one algorithm."""

    sample: Any
    scale: Any  # alpha where the step ends for x0, sigma for the noise
    e: Any  # exp(-span) for x0, exp(span) for the noise
    span: Any  # h, or 2 h where x0 is expanded with fresh noise
    sign: int  # x0 grows where the noise decays
    factor: float  # 2 where the noise is expanded with fresh noise
    noise: float


def _form(algorithm: Algorithm, i: int, scales: Scales, h: Any) -> _Form:
    """Return the form of the step from stop i.

    arXiv:2211.01095: equation 14 for x0, 17 and 18 for the stochastic ones; arXiv:2206.00927, equation 3.7 for the noise.
    """
    alphas, sigmas = scales.alphas, scales.sigmas
    if algorithm == "dpmsolver++":
        return _Form(sample=sigmas[i + 1] / sigmas[i], scale=alphas[i + 1], e=_exp(-h, scales), span=h, sign=1, factor=1.0, noise=0.0)
    if algorithm == "sde-dpmsolver++":
        e = _exp(-2 * h, scales)
        noise = float(sigmas[i + 1] * _sqrt(1 - e))
        return _Form(
            sample=sigmas[i + 1] / sigmas[i] * _exp(-h, scales), scale=alphas[i + 1], e=e, span=2 * h, sign=1, factor=1.0, noise=noise
        )
    sample = alphas[i + 1] / alphas[i]
    if algorithm == "dpmsolver":
        return _Form(sample=sample, scale=sigmas[i + 1], e=_exp(h, scales), span=h, sign=-1, factor=1.0, noise=0.0)
    noise = float(sigmas[i + 1] * _sqrt(_exp(2 * h, scales) - 1))
    return _Form(sample=sample, scale=sigmas[i + 1], e=_exp(h, scales), span=h, sign=-1, factor=2.0, noise=noise)


def multistep_update(algorithm: Algorithm, solver_type: SolverType, order: int, i: int, scales: Scales, half: float = 0.5) -> Update:
    """Return the weights of the update from stop i to the next.

    Over x0, with e = exp(-h) and D0 to D2 as in :class:`Update`, ``midpoint`` has -alpha' * (e - 1) / 2 for D1, and ``heun``
    alpha' * ((e - 1) / h + 1). The order of operations is diffusers', so that results agree to the bit.

    Parameters
    ----------
    solver_type : {"midpoint", "heun"}
        Two forms of the second-order term.
    order : int
        1 to 3, and at most 1 + ``scales.history(i)``; 1 where the next stop has no noise.
    half : float
        1/2; another value in the weight of D2 reproduces a bug of another tool.
    """
    if scales.lambdas[i + 1] == scales.lambdas[i]:  # a step of length zero keeps the sample
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
        third=float(_third_weight(form, half)),
        noise=noise,
        inverse_r0=float(1 / r0),
        inverse_r1=float(1 / r1),
        mix=float(r0 / (r0 + r1)),
        inverse_sum=float(1 / (r0 + r1)),
    )


def _third_weight(form: _Form, half: float) -> Any:
    """Return the weight of D2 in third order, as the authors' code has it: -scale * ((e - 1 + span) / span**2 - 1 / 2) for x0.

    D2 there is the second divided difference, half the second derivative, but the weight is that of the whole: the update converges with
    order 2. Twice this weight measures order 3.02.
    """
    curve = (form.e - 1 + form.sign * form.span) / (form.span * form.span)
    return -form.factor * (form.scale * (curve - half))


def apply_update(u: Update, x: Float, m: tuple[Float, ...], noise: Float | None = None) -> Float:
    """Return the sample after an update, in a fresh array.

    Parameters
    ----------
    m : tuple of float arrays
        As many predictions as the update's order, the newest first.
    """
    # few fresh arrays: at the size of latents each costs as much as the arithmetic
    result: Float = x * u.sample
    term: Float = m[0] * u.first
    result += term
    if len(m) == 2:
        d1 = np.subtract(m[0], m[1], out=term)
        d1 *= u.inverse_r0
        d1 *= u.second
        result += d1
    elif len(m) == 3:
        d1, d2 = np.subtract(m[0], m[1], out=term), m[1] - m[2]
        d1 *= u.inverse_r0
        d2 *= u.inverse_r1
        np.subtract(d1, d2, out=d2)
        d1 += d2 * u.mix
        d2 *= u.inverse_sum
        d1 *= u.second
        d2 *= u.third
        result += d1
        result += d2
    if noise is not None and u.noise:
        result += noise * u.noise
    return result


def _exp(x: Any, scales: Scales) -> Any:
    """Exponential in double precision, rounded to x's type."""
    return type(x)(scales.functions.exp(float(x)))


def _sqrt(x: Any) -> Any:
    """Square root in x's type; 0 below 0, as where a step leads up in noise, from which none can be taken."""
    return type(x)(math.sqrt(max(float(x), 0.0)))
