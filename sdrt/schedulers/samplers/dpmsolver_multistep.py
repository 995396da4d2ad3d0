"""DPM-Solver and DPM-Solver++, multistep, orders 1 to 3, deterministic and stochastic (Lu et al. 2022, arXiv:2206.00927 and 2211.01095).

Each call expands the predictions of the calls before it; see :mod:`sdrt.schedulers.dpm_update` for the weights.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from sdrt.arrays import Float
from sdrt.errors import ConfigError
from sdrt.schedulers.apple_stops import apple_order, apple_stops, check_apple
from sdrt.schedulers.core.run import Plan, Request, State
from sdrt.schedulers.core.settings import Compat
from sdrt.schedulers.dpm_update import Algorithm, Scales, SolverType, Update, expands_x0, is_stochastic, moved, multistep_update
from sdrt.schedulers.grids.sigmas import FinalSigma
from sdrt.schedulers.scheduled import TERMINAL
from sdrt.schedulers.solver import FEW_STEPS, PREDICTIONS, SOLVER_KEYS, VARIANCES, SolverSampler
from sdrt.schedulers.solver_flow import DYNAMIC_SHIFT_KEYS
from sdrt.schedulers.solver_stops import SolverStops, solver_stops

__all__ = ["DPM_CHOICES", "DPM_KEYS", "DPMSolver", "DPMSolverCall", "DPMSolverMultistep"]

DPM_KEYS: dict[str, Any] = SOLVER_KEYS | {
    "solver_order": 2,
    "algorithm_type": "dpmsolver++",
    "solver_type": "midpoint",
    "lower_order_final": True,
    "lambda_min_clipped": float("-inf"),
    "variance_type": None,
}
# Some are other classes' values, as they come when one class is built from another's configuration: see :func:`_own`.
DPM_CHOICES: dict[str, tuple[Any, ...]] = {
    "prediction_type": PREDICTIONS,
    "algorithm_type": ("dpmsolver++", "dpmsolver", "sde-dpmsolver++", "sde-dpmsolver", "deis"),
    "solver_type": ("midpoint", "heun", "logrho", "bh1", "bh2"),
    "variance_type": VARIANCES,
    "time_shift_type": ("exponential",),
}


@dataclass(frozen=True, kw_only=True)
class DPMSolverCall:
    """The numbers of one call."""

    alpha: float
    sigma: float
    updates: tuple[Update, ...]  # by order, as far as this call may go


@dataclass(frozen=True, kw_only=True)
class DPMSolver(SolverSampler):
    """The settings that all classes of DPM-Solver have."""

    solver_order: int = 2  # 1 to 3
    algorithm_type: Algorithm = "dpmsolver++"
    solver_type: SolverType = "midpoint"  # two forms of the second-order term
    lower_order_final: bool = True  # end with lower orders in runs of fewer than 15 steps

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.solver_order not in (1, 2, 3):
            raise ConfigError(f"solver_order must be 1, 2 or 3, got {self.solver_order}")
        if self.ends_at_zero and not expands_x0(self.algorithm_type):
            raise ConfigError(
                f"algorithm_type {self.algorithm_type} cannot end at sigma 0; set final_sigmas_type sigma_min, or take dpmsolver++"
            )

    def _config(self) -> dict[str, Any]:
        own = ("solver_order", "algorithm_type", "solver_type", "lower_order_final")
        return super()._config() | {key: getattr(self, key) for key in own}

    @classmethod
    def _read(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        return super()._read(values) | {
            "solver_order": values["solver_order"],
            "algorithm_type": _own(values["algorithm_type"], "deis", to="dpmsolver++"),
            "solver_type": _own(values["solver_type"], "logrho", "bh1", "bh2", to="midpoint"),
            "lower_order_final": bool(values["lower_order_final"]),
        }

    def _prediction(self, c: Any, state: State, output: Float) -> Float:
        """Return what the algorithm expands, x0 or the noise."""
        convert = self._x0 if expands_x0(self.algorithm_type) else self._eps
        return convert(state.x, output, c.alpha, c.sigma)


def _own(value: str, *foreign: str, to: str) -> Any:
    """Return a class's own value for one that belongs to another class."""
    return to if value in foreign else value


@dataclass(frozen=True, kw_only=True)
class DPMSolverMultistep(DPMSolver):
    """Multistep DPM-Solver(++).

    Scalars are computed in the numerics' own type, in diffusers' order of operations, so that whole runs agree to the bit wherever the
    square roots do. A float64 sample stays float64, which diffusers 0.42.1 rounds to float32.

    ``compat="apple"`` does as the ``DPMSolverMultistepScheduler`` of Apple's Swift package: see :mod:`sdrt.schedulers.apple_stops`.
    """

    name: ClassVar[str] = "DPMSolverMultistepScheduler"
    keys: ClassVar[Mapping[str, Any]] = (
        DPM_KEYS
        | DYNAMIC_SHIFT_KEYS
        | {"final_sigmas_type": "zero", "euler_at_final": False, "use_lu_lambdas": False, "rescale_betas_zero_snr": False}
    )
    choices: ClassVar[Mapping[str, tuple[Any, ...]]] = DPM_CHOICES | {"final_sigmas_type": ("zero", "sigma_min")}
    terminal_alpha_bar: ClassVar[float] = TERMINAL
    cuts_cosine: ClassVar[bool] = True
    ends_at_trained: ClassVar[bool] = True
    compats: ClassVar[tuple[Compat, ...]] = ("diffusers", "apple")

    final_sigma: FinalSigma = "zero"
    euler_at_final: bool = False  # end with a first-order step always

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.compat == "apple":
            check_apple(self)

    def _config(self) -> dict[str, Any]:
        return super()._config() | {"euler_at_final": self.euler_at_final}

    @classmethod
    def _read(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        return super()._read(values) | {"euler_at_final": bool(values.get("euler_at_final"))}

    def _plan(self, request: Request) -> Plan:
        stops = apple_stops(self, request) if self.compat == "apple" else solver_stops(self, request)
        return self._planned(stops)

    def _planned(self, stops: SolverStops) -> Plan:
        scales, n = stops.scales(), len(stops.timesteps)
        calls = tuple(
            DPMSolverCall(
                alpha=float(scales.alphas[i]),
                sigma=float(scales.sigmas[i]),
                updates=tuple(
                    multistep_update(self.algorithm_type, self.solver_type, order, i, scales, self.compat)
                    for order in range(1, self._highest_order(i, n, scales) + 1)
                ),
            )
            for i in range(n)
        )
        return self._laid_out(stops, calls, draws=is_stochastic(self.algorithm_type))

    def _highest_order(self, i: int, n: int, scales: Scales) -> int:
        """Return the order that call i may have, given enough history."""
        possible = min(self.solver_order, _differences(i, scales) + 1)
        if self.compat == "apple":
            return min(possible, apple_order(i, n))
        few = self.lower_order_final and n < FEW_STEPS
        if i == n - 1 and (self.euler_at_final or few or self.ends_at_zero):
            return 1
        return min(possible, 2 if i == n - 2 and few else 3)

    def _advance(self, c: DPMSolverCall, state: State, output: Float, noise: Float | None) -> State:
        m = self._prediction(c, state, output)
        order = min(len(c.updates), len(state.history) + 1)
        x = moved(c.updates[order - 1], state.x, (m, *state.history[::-1][: order - 1]), noise)
        return state.advance(x, history=(*state.history, m)[-(self.solver_order - 1) :] if self.solver_order > 1 else ())


def _differences(i: int, scales: Scales) -> int:
    """Return how many differences call i can take: none where it has no length, by which they are divided, or ends without noise.

    A formula's last ratio can be the final one. There, and where timesteps of a caller are equal, diffusers 0.42.1 gives NaN.
    """
    step = scales.lambdas[i + 1] - scales.lambdas[i]
    return scales.history(i) if step and math.isfinite(step) else 0
