"""DEIS: diffusion exponential integrator sampler, multistep in log rho (Zhang and Chen 2022, arXiv:2204.13902)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from sdrt.arrays import Float
from sdrt.errors import ConfigError
from sdrt.schedulers.core.prediction import to_eps
from sdrt.schedulers.core.run import Plan, Request
from sdrt.schedulers.dpm_update import Scales
from sdrt.schedulers.exponential import adams_weights
from sdrt.schedulers.predictor_corrector import PredictorCorrector, PredictorCorrectorCall, step_shares
from sdrt.schedulers.solver import FEW_STEPS, PREDICTIONS, SOLVER_KEYS
from sdrt.schedulers.solver_flow import DYNAMIC_SHIFT_KEYS
from sdrt.schedulers.solver_stops import solver_stops

__all__ = ["DEISMultistep"]


@dataclass(frozen=True, kw_only=True)
class DEISMultistep(PredictorCorrector):
    """Adams-Bashforth over the noise, in rho = sigma / alpha with polynomials in log rho: equation 15 of the paper, and its appendix H.3.

    log rho is -lambda, so that the integrals are those of :mod:`sdrt.schedulers.exponential`. diffusers 0.42.1 takes them as differences of
    far larger float32 numbers: a third-order run of 200 steps of it departs by up to 1e-3 from the same formulas in float64.
    """

    name: ClassVar[str] = "DEISMultistepScheduler"
    keys: ClassVar[Mapping[str, Any]] = (
        SOLVER_KEYS | DYNAMIC_SHIFT_KEYS | {"solver_order": 2, "algorithm_type": "deis", "solver_type": "logrho", "lower_order_final": True}
    )
    choices: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "prediction_type": PREDICTIONS,
        # Others' values, as they come from another class's configuration, mean its own.
        "algorithm_type": ("deis", "dpmsolver", "dpmsolver++"),
        "solver_type": ("logrho", "midpoint", "heun", "bh1", "bh2"),
        "time_shift_type": ("exponential",),
    }

    solver_order: int = 2  # 1 to 3
    lower_order_final: bool = True  # end with lower orders in runs of fewer than 15 steps

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.solver_order not in (1, 2, 3):
            raise ConfigError(f"solver_order must be 1, 2 or 3, got {self.solver_order}")

    def _config(self) -> dict[str, Any]:
        own = {"solver_order": self.solver_order, "lower_order_final": self.lower_order_final}
        return super()._config() | own | {"algorithm_type": "deis", "solver_type": "logrho"}

    @classmethod
    def _read(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        own = {"solver_order": values["solver_order"], "lower_order_final": bool(values["lower_order_final"])}
        return super()._read(values) | own

    def _plan(self, request: Request) -> Plan:
        stops = solver_stops(self, request)
        scales, n = stops.wide_scales(), len(stops.timesteps)
        return self._laid_out(stops, tuple(self._call(i, n, scales) for i in range(n)))

    def _call(self, i: int, n: int, scales: Scales) -> PredictorCorrectorCall:
        here, there = float(scales.lambdas[i]), float(scales.lambdas[i + 1])
        h, sigma = there - here, float(scales.sigmas[i + 1])
        return PredictorCorrectorCall(
            alpha=float(scales.alphas[i]),
            sigma=float(scales.sigmas[i]),
            correctors=(),
            sample=float(scales.alphas[i + 1]) / float(scales.alphas[i]),
            noise=0.0,
            predictors=tuple(
                tuple(-sigma * h * weight for weight in (adams_weights(-h, step_shares(i, scales, order - 1)) if h else (0.0,)))
                for order in range(1, self._highest_order(i, n, scales) + 1)
            ),
        )

    def _highest_order(self, i: int, n: int, scales: Scales) -> int:
        """Return the order that call i may have, given enough history."""
        possible = min(self.solver_order, scales.history(i) + 1) if scales.lambdas[i + 1] != scales.lambdas[i] else 1
        few = self.lower_order_final and n < FEW_STEPS
        return min(possible, max(1, n - i)) if few and i >= n - 2 else possible

    @property
    def _expands_x0(self) -> bool:
        return False

    @property
    def _memory(self) -> int:
        return self.solver_order - 1

    def _eps(self, x: Float, output: Float, alpha: float, sigma: float) -> Float:
        """Return the predicted noise.

        diffusers 0.42.1 takes that of x0 always, and over its ratio for its share of noise: which matters at stops that are not the
        prediction's own.
        """
        if self.compat == "diffusers" and self.prediction_type in ("v_prediction", "flow_prediction"):
            return to_eps("sample", x, self._x0(x, output, alpha, sigma), alpha, self._flow_share(alpha, sigma))
        return super()._eps(x, output, alpha, sigma)
