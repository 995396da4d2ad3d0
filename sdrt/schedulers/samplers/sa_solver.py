"""SA-Solver: stochastic Adams (Xue et al. 2023, arXiv:2309.05019)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from sdrt.errors import ConfigError
from sdrt.schedulers.core.run import Plan, Request
from sdrt.schedulers.dpm_update import Scales
from sdrt.schedulers.exponential import adams_weights, moment
from sdrt.schedulers.predictor_corrector import PredictorCorrector, PredictorCorrectorCall, step_shares
from sdrt.schedulers.solver import PREDICTIONS, SOLVER_KEYS, VARIANCES
from sdrt.schedulers.solver_stops import solver_stops

__all__ = ["SASolver"]

# diffusers' tau_func: how much of the flow's noise is made anew, all of it in the middle of a run and none at its ends.
_TAU = 1.0
_FIRST, _LAST = 200, 800


@dataclass(frozen=True, kw_only=True)
class SASolver(PredictorCorrector):
    """Predictors and correctors of orders 1 to 4, with fresh noise at every step (of weight 0 where tau is 0).

    diffusers 0.42.1 takes the weights from powers of lambda, in float32: a run of 200 steps of it with orders above 2 departs by up to its
    own value from the same formulas in float64.
    """

    name: ClassVar[str] = "SASolverScheduler"
    keys: ClassVar[Mapping[str, Any]] = SOLVER_KEYS | {
        "predictor_order": 2,
        "corrector_order": 2,
        "tau_func": None,
        "algorithm_type": "data_prediction",
        "lower_order_final": True,
        "lambda_min_clipped": -math.inf,
        "variance_type": None,
    }
    choices: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "prediction_type": PREDICTIONS,
        "variance_type": VARIANCES,
        "tau_func": (None,),
        "algorithm_type": ("data_prediction", "noise_prediction"),
    }
    takes: ClassVar[frozenset[str]] = frozenset({"timesteps"})

    predictor_order: int = 2
    corrector_order: int = 2
    algorithm_type: Literal["data_prediction", "noise_prediction"] = "data_prediction"
    lower_order_final: bool = True  # let the orders fall over the last steps

    def __post_init__(self) -> None:
        super().__post_init__()
        for key in ("predictor_order", "corrector_order"):
            if getattr(self, key) not in (1, 2, 3, 4):
                raise ConfigError(f"{key} must be 1 to 4, got {getattr(self, key)}")

    def _config(self) -> dict[str, Any]:
        own = ("predictor_order", "corrector_order", "algorithm_type", "lower_order_final")
        return super()._config() | {key: getattr(self, key) for key in own} | {"tau_func": None}

    @classmethod
    def _read(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        own = ("predictor_order", "corrector_order", "algorithm_type")
        return super()._read(values) | {key: values[key] for key in own} | {"lower_order_final": bool(values["lower_order_final"])}

    def _plan(self, request: Request) -> Plan:
        stops = solver_stops(self, request)
        scales, n = stops.wide_scales(), len(stops.timesteps)
        taus = tuple(_TAU if _FIRST <= t <= _LAST else 0.0 for t in stops.timesteps.tolist())
        return self._laid_out(stops, tuple(self._call(i, taus, scales) for i in range(n)), draws=True)

    def _call(self, i: int, taus: tuple[float, ...], scales: Scales) -> PredictorCorrectorCall:
        n, tau = len(taus), taus[i]
        h = _length(i, scales)
        return PredictorCorrectorCall(
            alpha=float(scales.alphas[i]),
            sigma=float(scales.sigmas[i]),
            correctors=self._correctors(i - 1, n, taus[i - 1], scales) if i else (),
            sample=self._sample_weight(i, tau, h, scales),
            noise=self._noise_weight(float(scales.sigmas[i + 1]), tau, h),
            predictors=self._predictors(i, n, tau, scales),
        )

    def _sample_weight(self, i: int, tau: float, h: float, scales: Scales) -> float:
        if self._expands_x0:
            return math.exp(-(tau**2) * h) * float(scales.sigmas[i + 1]) / float(scales.sigmas[i])
        return float(scales.alphas[i + 1]) / float(scales.alphas[i])

    def _noise_weight(self, sigma: float, tau: float, h: float) -> float:
        """Return the deviation of the noise that a step of length h makes (proposition 4.2 of the paper; its appendix A for the noise)."""
        return sigma * math.sqrt(-math.expm1(-2 * tau**2 * h)) if self._expands_x0 else tau * sigma * math.sqrt(math.expm1(2 * h))

    def _predictors(self, i: int, n: int, tau: float, scales: Scales) -> tuple[tuple[float, ...], ...]:
        """Return the weights of the stochastic Adams-Bashforth step from stop i, by order (equation 14)."""
        if not _length(i, scales):
            return ((0.0,),)
        falling = n - i if self.lower_order_final else 4
        orders = range(1, min(self.predictor_order, falling, scales.history(i) + 1) + 1)
        return tuple(self._adams(i, tau, scales, step_shares(i, scales, order - 1)) for order in orders)

    def _correctors(self, i: int, n: int, tau: float, scales: Scales) -> tuple[tuple[float, ...], ...]:
        """Return the weights of the stochastic Adams-Moulton step from stop i, by the number of predictions behind (equation 17)."""
        if not _length(i, scales):
            return ()
        falling = n - i + 1 if self.lower_order_final else 4
        order = min(self.corrector_order, falling, scales.history(i) + 2)
        if order == 1:
            return (self._adams(i, tau, scales, (1.0,)),)
        return tuple(self._adams(i, tau, scales, (1.0, *step_shares(i, scales, behind - 1))) for behind in range(1, order))

    def _adams(self, i: int, tau: float, scales: Scales, shares: tuple[float, ...]) -> tuple[float, ...]:
        """Return the weights of predictions at these shares of the step from stop i."""
        h, grown = _length(i, scales), 1 + tau**2
        if not self._expands_x0:
            return tuple(-grown * float(scales.sigmas[i + 1]) * h * weight for weight in adams_weights(-h, shares))
        scale = float(scales.alphas[i + 1]) * grown * h
        if len(shares) == 2:
            return tuple(scale * weight for weight in _straight((shares[0], shares[1]), grown * h))
        return tuple(scale * weight for weight in adams_weights(grown * h, shares))

    @property
    def _expands_x0(self) -> bool:
        return self.algorithm_type == "data_prediction"

    @property
    def _memory(self) -> int:
        return max(self.predictor_order, self.corrector_order) - 1 or 1


def _straight(shares: tuple[float, float], z: float) -> tuple[float, float]:
    """Return the weights of two predictions with the slope of the line through them counted as without an exponential: one half.

    The authors' code does so in its second-order predictor and corrector over x0, and so does diffusers.
    """
    (a, b), rise = shares, moment(0, z)
    return (0.5 - b * rise) / (a - b), (a * rise - 0.5) / (a - b)


def _length(i: int, scales: Scales) -> float:
    """Return the length of the step from stop i in lambda."""
    return float(scales.lambdas[i + 1]) - float(scales.lambdas[i])
