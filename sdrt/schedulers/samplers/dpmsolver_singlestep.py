"""DPM-Solver and DPM-Solver++, single step, orders 1 to 3 (Lu et al. 2022, arXiv:2206.00927 and arXiv:2211.01095).

A step of order k is k network calls at stops of its own, each call solving anew from where the step began. n calls are made in all, with
orders [1, 2] or [1, 2, 3] again and again (arXiv:2206.00927, algorithms 1 and 2; arXiv:2211.01095, algorithm 1). In second order, with m0
and m1 what a step's two calls predict, and r the share of the step at which the second is made, DPM-Solver++ has

    x' = sigma' / sigma * x - alpha' * (exp(-h) - 1) * (m0 + (m1 - m0) / (2 r))
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from sdrt.arrays import Float
from sdrt.schedulers.core.kinds import whole
from sdrt.schedulers.core.prediction import Prediction
from sdrt.schedulers.core.run import Plan, Request, Scales, State
from sdrt.schedulers.core.sampler import Sampler
from sdrt.schedulers.core.settings import group, setting
from sdrt.schedulers.grids.solver import UNIPC_ONLY, SolverGrid
from sdrt.schedulers.steps.dpm_singlestep_update import SinglestepUpdate, singlestep_update
from sdrt.schedulers.steps.dpm_update import SolverType, check_end, expands_x0, is_stochastic
from sdrt.schedulers.steps.linear import linear_combination
from sdrt.schedulers.steps.solver_output import SolverOutput

__all__ = ["DPMSolverSinglestep", "DPMSolverSinglestepCall"]


@dataclass(frozen=True, kw_only=True)
class DPMSolverSinglestepCall:
    """The numbers of one call."""

    alpha: float
    sigma: float
    noise_scale: float  # that the prediction belongs to
    updates: tuple[SinglestepUpdate, ...]  # by order, as far as this call may go


@dataclass(frozen=True, kw_only=True)
class DPMSolverSinglestep(Sampler):
    """Single-step DPM-Solver(++).

    Where a run's calls cannot be cut into full steps, or end without noise, its last steps have lower orders whatever
    ``lower_order_final`` is. diffusers 0.42.1 does so too, but then also in every later run of the object.
    """

    name: ClassVar[str] = "DPMSolverSinglestepScheduler"

    prediction_type: Prediction = setting("epsilon")
    grid: SolverGrid = group(
        SolverGrid,
        without=[*UNIPC_ONLY, "rescale_betas_zero_snr", "steps_offset", "timestep_spacing", "use_lu_lambdas"],
        choices={"time_shift_type": ("exponential",)},
        fixed={"ends_at_trained": True},
        final_sigmas_type="zero",
    )
    output: SolverOutput = group(SolverOutput)
    solver_order: int = setting(2, kind=whole(1, 3))  # 1 to 3
    # Values that belong to other classes, as they come when one class is built from another's configuration, mean the default.
    algorithm_type: Literal["dpmsolver++", "dpmsolver", "sde-dpmsolver++"] = setting("dpmsolver++", foreign={"deis": "dpmsolver++"})
    solver_type: SolverType = setting("midpoint", foreign={"logrho": "midpoint", "bh1": "midpoint", "bh2": "midpoint"})
    lower_order_final: bool = setting(False)  # end with lower orders

    def __post_init__(self) -> None:
        super().__post_init__()
        self.grid.check_prediction(self.prediction_type)
        check_end(self.algorithm_type, ends_at_zero=self.grid.ends_at_zero)

    @property
    def doubled_output(self) -> bool:
        """Whether the network's output has twice the sample's channels: a noise and its variance."""
        return self.output.variance_type is not None and self.prediction_type == "epsilon"

    def predicted_x0(self, x: Float, output: Float, alpha: float, sigma: float) -> Float:
        """Return the clean sample that an output amounts to, within its bound."""
        return self.output.bound(super().predicted_x0(x, output, alpha, sigma))

    def _plan(self, request: Request) -> Plan:
        levels = self.grid.levels(request)
        scales = levels.scales_f64()
        calls = tuple(self._call(i, order, scales) for i, order in enumerate(self._orders(len(levels.timesteps))))
        return levels.plan(calls, draws=is_stochastic(self.algorithm_type))

    def _call(self, i: int, order: int, scales: Scales) -> DPMSolverSinglestepCall:
        alpha, sigma = scales.alphas[i], scales.sigmas[i]
        # The stops of a step must lie apart, or differences over them are divided by 0.
        possible = min(order, scales.history(i) + 1)
        return DPMSolverSinglestepCall(
            alpha=alpha,
            sigma=sigma,
            noise_scale=self.grid.noise_scale(self.prediction_type, alpha, sigma),
            updates=tuple(self._update(k, i, scales) for k in range(1, possible + 1)),
        )

    def _update(self, order: int, i: int, scales: Scales) -> SinglestepUpdate:
        return singlestep_update(self.algorithm_type, self.solver_type, order, i, scales)

    def _orders(self, n: int) -> tuple[int, ...]:
        """Return the order of each call.

        Source: arXiv:2206.00927, section 4 ("DPM-Solver-fast"): [1, 2, ..., k] as long as they fit, and the rest of lower order.
        """
        full = tuple(range(1, self.solver_order + 1))
        lower = self.lower_order_final or n % self.solver_order != 0 or self.grid.ends_at_zero
        if not lower or self.solver_order == 1:
            return full * (n // self.solver_order)
        blocks, rest = divmod(n - 1, self.solver_order)
        # Where all of them would fit, the last is cut into [1, ..., k - 1] and 1.
        ending = (*full[:rest], 1) if rest == self.solver_order - 1 else full[: rest + 1]
        orders = full * blocks + ending
        return (*orders[:-1], 1) if self.grid.ends_at_zero else orders

    def _advance(self, c: DPMSolverSinglestepCall, state: State, output: Float, noise: Float | None) -> State:
        if expands_x0(self.algorithm_type):
            m = self.output.x0(self.prediction_type, state.x, output, c.alpha, c.noise_scale)
        else:
            m = self.output.eps(self.prediction_type, state.x, output, c.alpha, c.sigma)
        order = min(len(c.updates), len(state.history) + 1)
        start = state.x if order == 1 or state.step_start is None else state.step_start
        u = c.updates[order - 1]
        known = (m, *state.history[::-1])[: len(u.predictions)]
        x = linear_combination((u.sample, *u.predictions, u.noise), (start, *known, noise))
        return state.advance(x, history=(*state.history, m)[-(self.solver_order - 1) :] if self.solver_order > 1 else (), step_start=start)
