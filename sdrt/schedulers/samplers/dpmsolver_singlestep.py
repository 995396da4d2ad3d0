"""DPM-Solver and DPM-Solver++, single step, orders 1 to 3 (Lu et al. 2022, arXiv:2206.00927 and arXiv:2211.01095).

A step of order k is k network calls at stops of its own, each call solving anew from where the step began. n calls are made in all, with
orders [1, 2] or [1, 2, 3] again and again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from sdrt.arrays import Float
from sdrt.schedulers.core.run import Plan, Request, State
from sdrt.schedulers.dpm_singlestep_update import singlestep_weights
from sdrt.schedulers.dpm_update import Scales, is_stochastic
from sdrt.schedulers.exponential import Weights, weighted
from sdrt.schedulers.grids.sigmas import FinalSigma
from sdrt.schedulers.samplers.dpmsolver_multistep import DPM_CHOICES, DPM_KEYS, DPMSolver
from sdrt.schedulers.solver_flow import DYNAMIC_SHIFT_KEYS
from sdrt.schedulers.solver_stops import solver_stops

__all__ = ["DPMSolverSinglestep", "DPMSolverSinglestepCall"]


@dataclass(frozen=True, kw_only=True)
class DPMSolverSinglestepCall:
    """The numbers of one call."""

    alpha: float
    sigma: float
    updates: tuple[Weights, ...]  # by order, as far as this call may go: over the sample at which the step began, and predictions


@dataclass(frozen=True, kw_only=True)
class DPMSolverSinglestep(DPMSolver):
    """Single-step DPM-Solver(++).

    Where a run's calls cannot be cut into full steps, or end without noise, its last steps have lower orders whatever
    ``lower_order_final`` says. diffusers 0.42.1 does so too, and from then on for every later run of the object.
    """

    name: ClassVar[str] = "DPMSolverSinglestepScheduler"
    keys: ClassVar[Mapping[str, Any]] = {
        key: value
        for key, value in (DPM_KEYS | DYNAMIC_SHIFT_KEYS | {"final_sigmas_type": "zero", "lower_order_final": False}).items()
        if key not in ("timestep_spacing", "steps_offset")
    }
    choices: ClassVar[Mapping[str, tuple[Any, ...]]] = DPM_CHOICES | {
        "algorithm_type": ("dpmsolver++", "dpmsolver", "sde-dpmsolver++", "deis"),
        "final_sigmas_type": ("zero", "sigma_min"),
    }
    ends_at_trained: ClassVar[bool] = True

    final_sigma: FinalSigma = "zero"
    lower_order_final: bool = False

    def _plan(self, request: Request) -> Plan:
        stops = solver_stops(self, request)
        scales, orders = stops.wide_scales(), self._orders(len(stops.timesteps))
        calls = tuple(
            DPMSolverSinglestepCall(
                alpha=float(scales.alphas[i]),
                sigma=float(scales.sigmas[i]),
                updates=tuple(
                    singlestep_weights(self.algorithm_type, self.solver_type, order, i, scales, self.compat)
                    for order in range(1, _possible(order, i, scales) + 1)
                ),
            )
            for i, order in enumerate(orders)
        )
        return self._laid_out(stops, calls, draws=is_stochastic(self.algorithm_type))

    def _orders(self, n: int) -> tuple[int, ...]:
        """Return the order of each call.

        Source: arXiv:2206.00927, section 4 ("DPM-Solver-fast"): [1, 2, ..., k] as long as they fit, and the rest of lower order.
        """
        full = tuple(range(1, self.solver_order + 1))
        lower = self.lower_order_final or n % self.solver_order != 0 or self.ends_at_zero
        if not lower or self.solver_order == 1:
            return full * (n // self.solver_order)
        blocks, rest = divmod(n - 1, self.solver_order)
        # Where all of them would fit, the last is cut into [1, ..., k - 1] and 1.
        ending = (*full[:rest], 1) if rest == self.solver_order - 1 else full[: rest + 1]
        orders = full * blocks + ending
        return (*orders[:-1], 1) if self.ends_at_zero else orders

    def _advance(self, c: DPMSolverSinglestepCall, state: State, output: Float, noise: Float | None) -> State:
        m = self._prediction(c, state, output)
        order = min(len(c.updates), len(state.history) + 1)
        begun = state.x if order == 1 or state.step_start is None else state.step_start
        x = weighted(c.updates[order - 1], begun, (m, *state.history[::-1]), noise)
        return state.advance(x, history=(*state.history, m)[-(self.solver_order - 1) :] if self.solver_order > 1 else (), step_start=begun)


def _possible(order: int, i: int, scales: Scales) -> int:
    """Return the order that call i may have: the stops of its step must lie apart, or differences over them are divided by 0."""
    return min(order, scales.history(i) + 1)
