"""UniPC: a unified predictor-corrector (Zhao et al. 2023, arXiv:2302.04867)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from sdrt.arrays import Float
from sdrt.errors import ConfigError
from sdrt.schedulers.core.prediction import to_eps
from sdrt.schedulers.core.run import Plan, Request
from sdrt.schedulers.dpm_update import Scales
from sdrt.schedulers.exponential import adams_weights
from sdrt.schedulers.grids.sigmas import FinalSigma
from sdrt.schedulers.predictor_corrector import PredictorCorrector, PredictorCorrectorCall, step_shares
from sdrt.schedulers.scheduled import TERMINAL
from sdrt.schedulers.solver import PREDICTIONS, SOLVER_KEYS
from sdrt.schedulers.solver_flow import DYNAMIC_SHIFT_KEYS
from sdrt.schedulers.solver_stops import solver_stops

__all__ = ["UniPCMultistep"]


@dataclass(frozen=True, kw_only=True)
class UniPCMultistep(PredictorCorrector):
    """Multistep UniPC of any order.

    The conditions of the paper's theorem 3.1 (its matrix R and vector b) make update and corrector exact for polynomials: their weights are
    those of exponential Adams methods, which are taken here in closed form, without a linear system. The free function B(h) then cancels;
    it acts only where the paper leaves the conditions: in UniP-2 and UniC-1, which take one half for their weight (its appendix F).
    """

    name: ClassVar[str] = "UniPCMultistepScheduler"
    keys: ClassVar[Mapping[str, Any]] = (
        SOLVER_KEYS
        | DYNAMIC_SHIFT_KEYS
        | {
            "solver_order": 2,
            "predict_x0": True,
            "solver_type": "bh2",
            "lower_order_final": True,
            "disable_corrector": [],
            "solver_p": None,
            "final_sigmas_type": "zero",
            "rescale_betas_zero_snr": False,
            "sigma_min": None,
            "sigma_max": None,
            "shift_terminal": None,
        }
    )
    choices: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "prediction_type": PREDICTIONS,
        "solver_type": ("bh1", "bh2", "midpoint", "heun", "logrho"),  # others' values mean bh2
        "solver_p": (None,),
        "final_sigmas_type": ("zero", "sigma_min"),
        "time_shift_type": ("exponential", "linear"),
    }
    takes: ClassVar[frozenset[str]] = frozenset({"timesteps", "sigmas", "mu"})
    spare_sigmas: ClassVar[int] = 0
    terminal_alpha_bar: ClassVar[float] = TERMINAL
    flow_from_one: ClassVar[bool] = True
    needs_mu: ClassVar[bool] = True

    final_sigma: FinalSigma = "zero"
    solver_order: int = 2  # 1 and up; above 3 unstable without guidance
    predict_x0: bool = True  # whether x0 is expanded, and not the noise
    solver_type: Literal["bh1", "bh2"] = "bh2"  # B(h): h, or exp(h) - 1
    lower_order_final: bool = True  # let the order fall to 1 over the last steps
    disable_corrector: tuple[int, ...] = ()  # steps that are not corrected: the first ones, at strong guidance

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.solver_order < 1:
            raise ConfigError(f"solver_order must be at least 1, got {self.solver_order}")

    def _config(self) -> dict[str, Any]:
        own = ("solver_order", "predict_x0", "solver_type", "lower_order_final")
        return super()._config() | {key: getattr(self, key) for key in own} | {"disable_corrector": list(self.disable_corrector)}

    @classmethod
    def _read(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        return super()._read(values) | {
            "solver_order": values["solver_order"],
            "predict_x0": bool(values["predict_x0"]),
            "solver_type": values["solver_type"] if values["solver_type"] == "bh1" else "bh2",
            "lower_order_final": bool(values["lower_order_final"]),
            "disable_corrector": tuple(values["disable_corrector"]),
        }

    def _plan(self, request: Request) -> Plan:
        stops = solver_stops(self, request)
        scales, n = stops.wide_scales(), len(stops.timesteps)
        return self._laid_out(stops, tuple(self._call(i, n, scales) for i in range(n)))

    def _call(self, i: int, n: int, scales: Scales) -> PredictorCorrectorCall:
        kept = (scales.sigmas if self.predict_x0 else scales.alphas).astype(float)
        corrected = i > 0 and i - 1 not in self.disable_corrector
        return PredictorCorrectorCall(
            alpha=float(scales.alphas[i]),
            sigma=float(scales.sigmas[i]),
            correctors=self._correctors(i - 1, self._highest_order(i - 1, n, scales), scales) if corrected else (),
            sample=float(kept[i + 1] / kept[i]),
            noise=0.0,
            predictors=tuple(self._predictor(i, order, scales) for order in range(1, self._highest_order(i, n, scales) + 1)),
        )

    def _highest_order(self, i: int, n: int, scales: Scales) -> int:
        """Return the order of the step from stop i, given enough history."""
        h = scales.lambdas[i + 1] - scales.lambdas[i]
        possible = min(self.solver_order, scales.history(i) + 1) if h and math.isfinite(h) else 1
        return min(possible, n - i) if self.lower_order_final else possible

    def _predictor(self, i: int, order: int, scales: Scales) -> tuple[float, ...]:
        """Return UniP's weights of predictions, newest first (equation 8 of the paper, with lambda as its variable)."""
        scale, z = self._span(i, scales)
        if not z:
            return (0.0,)
        if math.isinf(z):
            return (self._to_the_end(i, scales),)
        shares = step_shares(i, scales, order - 1)
        if order != 2:
            return tuple(scale * weight for weight in adams_weights(z, shares))
        half = self._half(scale, z) / shares[1]
        return scale * adams_weights(z, (0.0,))[0] - half, half

    def _to_the_end(self, i: int, scales: Scales) -> float:
        """Return the weight of the prediction in a step to where there is no noise: to x0, whatever B(h).

        diffusers 0.42.1 gives NaN for bh1, whose B(h) is infinite there, and where the noise is expanded.
        """
        alpha = float(scales.alphas[i + 1])
        return alpha if self.predict_x0 else -alpha * float(scales.sigmas[i]) / float(scales.alphas[i])

    def _correctors(self, i: int, order: int, scales: Scales) -> tuple[tuple[float, ...], ...]:
        """Return UniC's weights of the prediction at stop i + 1, and of those at stop i and before (equation 9), up to an order."""
        scale, z = self._span(i, scales)
        if not z:
            return ()
        first = self._half(scale, z)
        higher = (tuple(scale * weight for weight in adams_weights(z, (1.0, *step_shares(i, scales, p - 1)))) for p in range(2, order + 1))
        return ((first, scale * adams_weights(z, (0.0,))[0] - first), *higher)

    def _span(self, i: int, scales: Scales) -> tuple[float, float]:
        """Return what stands before the integrals of :mod:`sdrt.schedulers.exponential` over the step from stop i, and their exponent."""
        h = float(scales.lambdas[i + 1]) - float(scales.lambdas[i])
        return (float(scales.alphas[i + 1]) * h, h) if self.predict_x0 else (-float(scales.sigmas[i + 1]) * h, -h)

    def _half(self, scale: float, z: float) -> float:
        """Return the weight of a difference to which the paper gives one half of B(h): h, or exp(h) - 1, up to sign."""
        return scale * (1.0 if self.solver_type == "bh1" else -math.expm1(-z) / z) / 2

    @property
    def _expands_x0(self) -> bool:
        return self.predict_x0

    @property
    def _memory(self) -> int:
        return self.solver_order

    def _eps(self, x: Float, output: Float, alpha: float, sigma: float) -> Float:
        """Return the predicted noise; diffusers 0.42.1 bounds its x0 only where it is x0 that is expanded."""
        if self.compat == "diffusers":
            return to_eps(self.prediction_type, x, output, alpha, sigma)
        return super()._eps(x, output, alpha, sigma)
