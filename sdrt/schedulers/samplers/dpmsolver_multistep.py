"""DPM-Solver and DPM-Solver++, multistep, orders 1 to 3 (Lu et al. 2022, arXiv:2206.00927 and arXiv:2211.01095).

With lambda = log(alpha / sigma), a step solves the flow from lambda_s to lambda_t exactly in its linear part, and expands what the network
predicts (x0 for DPM-Solver++, the noise for DPM-Solver) in differences of earlier predictions.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from sdrt.arrays import Float
from sdrt.errors import ConfigError
from sdrt.schedulers.bounds import BOUND_KEYS
from sdrt.schedulers.noise_schedule import Real
from sdrt.schedulers.plan import Plan
from sdrt.schedulers.prediction import to_eps, to_x0
from sdrt.schedulers.request import Request
from sdrt.schedulers.scheduled import SCHEDULE_KEYS, TERMINAL, ScheduledSampler
from sdrt.schedulers.sigmas import SIGMA_KEYS, FinalSigma, SigmaSpacing, alpha_sigma
from sdrt.schedulers.solver_stops import solver_stops
from sdrt.schedulers.spacing import Spacing
from sdrt.schedulers.state import State

__all__ = ["DPMSolverCall", "DPMSolverMultistep"]

Algorithm = Literal["dpmsolver++", "dpmsolver"]

_FEW_STEPS = 15  # below this, lower_order_final acts (diffusers)


@dataclass(frozen=True, kw_only=True)
class Update:
    """Weights of one update: x' = x * sample + first * D0 + second * D1 + third * D2, with scaled differences D of predictions."""

    sample: float
    first: float
    second: float = 0.0
    third: float = 0.0
    inverse_r0: float = 0.0  # D1 = inverse_r0 * (m0 - m1), in second order
    inverse_r1: float = 0.0
    mix: float = 0.0  # r0 / (r0 + r1)
    inverse_sum: float = 0.0  # 1 / (r0 + r1)


@dataclass(frozen=True, kw_only=True)
class DPMSolverCall:
    """The numbers of one call."""

    alpha: float
    sigma: float
    updates: tuple[Update, ...]  # by order, as far as this call may go


@dataclass(frozen=True, kw_only=True)
class DPMSolverMultistep(ScheduledSampler):
    """Multistep DPM-Solver(++): deterministic.

    Scalars are computed in the numerics' own type, in diffusers' order of operations, so that whole runs agree to the bit wherever the
    square roots do. A float64 sample stays float64, which diffusers 0.42.1 rounds to float32.
    """

    name: ClassVar[str] = "DPMSolverMultistepScheduler"
    keys: ClassVar[Mapping[str, Any]] = (
        SCHEDULE_KEYS
        | BOUND_KEYS
        | SIGMA_KEYS
        | {
            "final_sigmas_type": "zero",
            "solver_order": 2,
            "algorithm_type": "dpmsolver++",
            "solver_type": "midpoint",
            "lower_order_final": True,
            "euler_at_final": False,
            "use_lu_lambdas": False,
            "use_flow_sigmas": False,
            "flow_shift": 1.0,
            "lambda_min_clipped": -math.inf,
            "variance_type": None,
            "timestep_spacing": "linspace",
            "rescale_betas_zero_snr": False,
            "use_dynamic_shifting": False,
            "time_shift_type": "exponential",
        }
    )
    choices: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "thresholding": (False,),
        "final_sigmas_type": ("zero", "sigma_min"),
        "algorithm_type": ("dpmsolver++", "dpmsolver"),
        "solver_type": ("midpoint", "heun"),
        "use_flow_sigmas": (False,),
        "variance_type": (None,),
        "use_dynamic_shifting": (False,),
    }
    terminal_alpha_bar: ClassVar[float] = TERMINAL

    timestep_spacing: Spacing = "linspace"
    sigma_spacing: SigmaSpacing = field(default_factory=SigmaSpacing)
    final_sigma: FinalSigma = "zero"
    solver_order: int = 2  # 1 to 3
    algorithm_type: Algorithm = "dpmsolver++"
    solver_type: Literal["midpoint", "heun"] = "midpoint"  # two forms of the second-order term
    lower_order_final: bool = True  # end with lower orders in runs of fewer than 15 steps
    euler_at_final: bool = False  # end with a first-order step always
    lambda_min_clipped: float = -math.inf  # leave out timesteps noisier than this log(alpha / sigma): -5.1 for the cosine schedule

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.solver_order not in (1, 2, 3):
            raise ConfigError(f"solver_order must be 1, 2 or 3, got {self.solver_order}")
        if self.algorithm_type == "dpmsolver" and self.final_sigma == "zero":
            raise ConfigError("algorithm_type dpmsolver cannot end at sigma 0; set final_sigmas_type sigma_min, or take dpmsolver++")

    def _config(self) -> dict[str, Any]:
        return (
            super()._config()
            | self.sigma_spacing.config()
            | {
                "final_sigmas_type": self.final_sigma,
                "solver_order": self.solver_order,
                "algorithm_type": self.algorithm_type,
                "solver_type": self.solver_type,
                "lower_order_final": self.lower_order_final,
                "euler_at_final": self.euler_at_final,
                "lambda_min_clipped": self.lambda_min_clipped,
            }
        )

    @classmethod
    def _read(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        same = ("solver_order", "algorithm_type", "solver_type", "lower_order_final", "euler_at_final")
        return (
            super()._read(values)
            | {key: values[key] for key in same}
            | {
                "sigma_spacing": SigmaSpacing.read(values),
                "final_sigma": values["final_sigmas_type"],
                "lambda_min_clipped": float(values["lambda_min_clipped"]),
            }
        )

    def _plan(self, request: Request) -> Plan:
        timesteps, ratios = solver_stops(self, request, self.sigma_spacing, self.final_sigma, self.lambda_min_clipped)
        n = len(timesteps)
        scales = alpha_sigma(ratios)
        lambdas = [_log(a) - _log(s) for a, s in zip(*scales, strict=True)]
        calls = tuple(
            DPMSolverCall(
                alpha=float(scales[0][i]),
                sigma=float(scales[1][i]),
                updates=tuple(self._update(order, i, *scales, lambdas) for order in range(1, self._highest_order(i, n, lambdas) + 1)),
            )
            for i in range(n)
        )
        alphas, sigmas = alpha_sigma(ratios.astype(np.float64))  # their quotient is the ratio, to the bit
        return Plan(timesteps=timesteps, alphas=alphas, sigmas=sigmas, coefficients=calls, draws=(False,) * n, starts=tuple(range(n)))

    def _highest_order(self, i: int, n: int, lambdas: list[Real]) -> int:
        """Return the order that call i may have, given enough history."""
        few = self.lower_order_final and n < _FEW_STEPS
        # A formula's last ratio can be the final one: a step of no length, by which higher orders divide (NaN in diffusers 0.42.1).
        if lambdas[i + 1] == lambdas[i]:
            return 1
        if i == n - 1 and (self.euler_at_final or few or self.final_sigma == "zero"):
            return 1
        return min(self.solver_order, i + 1, 2 if i == n - 2 and few else 3)

    def _update(self, order: int, i: int, alphas: Float, sigmas: Float, lambdas: list[Real]) -> Update:
        """Return the weights of an update of this order from stop i."""
        h = lambdas[i + 1] - lambdas[i]
        if self.algorithm_type == "dpmsolver++":  # arXiv:2211.01095, equation 14 and algorithm 2
            sample, scale, e = sigmas[i + 1] / sigmas[i], alphas[i + 1], _exp(-h)
        else:  # arXiv:2206.00927, equations 3.7 and 4.1, and its appendix B
            sample, scale, e = alphas[i + 1] / alphas[i], sigmas[i + 1], _exp(h)
        decay = scale * (e - 1)
        if order == 1:
            return Update(sample=float(sample), first=float(-decay))
        sign = 1 if self.algorithm_type == "dpmsolver++" else -1  # x0 grows where the noise decays
        r0 = (lambdas[i] - lambdas[i - 1]) / h
        if order == 2:
            second = -0.5 * decay if self.solver_type == "midpoint" else sign * (scale * ((e - 1) / h + sign))
            return Update(sample=float(sample), first=float(-decay), second=float(second), inverse_r0=float(1 / r0))
        r1 = (lambdas[i - 1] - lambdas[i - 2]) / h
        return Update(
            sample=float(sample),
            first=float(-decay),
            second=float(sign * (scale * ((e - 1) / h + sign))),
            third=float(_third_weight(scale, e, h, sign)),
            inverse_r0=float(1 / r0),
            inverse_r1=float(1 / r1),
            mix=float(r0 / (r0 + r1)),
            inverse_sum=float(1 / (r0 + r1)),
        )

    def _advance(self, c: DPMSolverCall, state: State, output: Float, noise: Float | None) -> State:  # noqa: ARG002
        convert = to_x0 if self.algorithm_type == "dpmsolver++" else to_eps
        m = convert(self.prediction_type, state.x, output, c.alpha, c.sigma)
        order = min(len(c.updates), len(state.history) + 1)
        past = state.history[::-1][: order - 1]
        x = _UPDATES[order](c.updates[order - 1], state.x, m, *past)
        return state.moved(x, history=(*state.history, m)[-(self.solver_order - 1) :] if self.solver_order > 1 else ())


def _third_weight(scale: Real, e: Real, h: Real, sign: int) -> Real:
    """Return the weight of D2 in third order, as diffusers 0.42.1 and the authors' code have it.

    D2 there is the second divided difference, half the second derivative, but the weight is that of the whole: the update converges with
    order 2. Twice this weight measures order 3.02.
    """
    return -(scale * ((e - 1 + sign * h) / (h * h) - 0.5))


def _log(x: Real) -> Real:
    """Logarithm in double precision, rounded to x's type; minus infinity at 0."""
    return type(x)(math.log(float(x)) if x else -math.inf)


def _exp(x: Real) -> Real:
    """Exponential in double precision, rounded to x's type."""
    return type(x)(math.exp(float(x)))


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
