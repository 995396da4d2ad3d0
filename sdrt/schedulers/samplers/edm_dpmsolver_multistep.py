"""Multistep DPM-Solver++ between EDM's scalings: the updates of Lu et al. 2022 (arXiv:2211.01095) with alpha = 1.

With lambda = -log(sigma), h = lambda' - lambda and D0 the newest x0_hat, D1 and D2 differences of those before it:

    x' = sigma' / sigma * x + (1 - exp(-h)) * D0 + ...,    `sdrt.schedulers.steps.dpm_update`
"""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from sdrt.arrays import Float
from sdrt.schedulers.core.kinds import whole
from sdrt.schedulers.core.numerics import real_type
from sdrt.schedulers.core.run import Plan, Request, Scales, State
from sdrt.schedulers.core.sampler import Sampler
from sdrt.schedulers.core.settings import group, setting
from sdrt.schedulers.grids.edm import EDMGrid, input_scales
from sdrt.schedulers.steps.bounds import X0Bound
from sdrt.schedulers.steps.dpm_update import FEW_STEPS, SolverType, Update, apply_update, is_stochastic, multistep_update
from sdrt.schedulers.steps.linear import plan_of

__all__ = ["EDMDPMSolverCall", "EDMDPMSolverMultistep"]


@dataclass(frozen=True, kw_only=True)
class EDMDPMSolverCall:
    """The numbers of one call."""

    sigma: float
    updates: tuple[Update, ...]  # by order, as far as this call may go


@dataclass(frozen=True, kw_only=True)
class EDMDPMSolverMultistep(Sampler):
    """Orders 1 to 3, deterministic and stochastic; each call expands the x0 of the calls before it.

    diffusers 0.42.1 has no stochastic update of order 3, and raises UnboundLocalError where a run comes to one.
    """

    name: ClassVar[str] = "EDMDPMSolverMultistepScheduler"

    prediction_type: Literal["epsilon", "v_prediction"] = setting("epsilon")
    grid: EDMGrid = group(EDMGrid)
    bound: X0Bound = group(X0Bound, without=["clip_sample", "clip_sample_range"])
    solver_order: int = setting(2, kind=whole(1, 3))  # 1 to 3
    algorithm_type: Literal["dpmsolver++", "sde-dpmsolver++"] = setting("dpmsolver++")
    solver_type: SolverType = setting("midpoint")  # two forms of the second-order term
    lower_order_final: bool = setting(True)  # end with lower orders in runs of fewer than 15 steps
    euler_at_final: bool = setting(False)  # end with a first-order step always

    def _whole_plan(self) -> Plan:
        """Lay out a run through every trained level."""
        return self._plan(Request(n=self.num_train_timesteps))

    def _plan(self, request: Request) -> Plan:
        sigmas = self.grid.sigmas(request)
        own = sigmas.astype(real_type(self.numerics))
        scales, n = Scales.of(np.ones_like(own), own, self.functions), len(sigmas) - 1
        calls = [self._call(i, n, scales) for i in range(n)]
        plan = plan_of(self.grid.levels(sigmas), calls, self.grid.init_scale(), draws=(is_stochastic(self.algorithm_type),) * n)
        return replace(plan, input_scale=input_scales(sigmas[:-1], self.grid.sigma_data, self.functions))

    def _call(self, i: int, n: int, scales: Scales) -> EDMDPMSolverCall:
        orders = range(1, self._highest_order(i, n, scales) + 1)
        return EDMDPMSolverCall(sigma=float(scales.sigmas[i]), updates=tuple(self._update(order, i, scales) for order in orders))

    def _update(self, order: int, i: int, scales: Scales) -> Update:
        return multistep_update(self.algorithm_type, self.solver_type, order, i, scales)

    def _highest_order(self, i: int, n: int, scales: Scales) -> int:
        """Return the order that call i may have, given enough history; 1 for a step of no length, by which higher ones divide."""
        few = self.lower_order_final and n < FEW_STEPS
        last = i == n - 1 and (self.euler_at_final or few or self.grid.final_sigma == "zero")
        if last or scales.lambdas[i + 1] == scales.lambdas[i]:
            return 1
        return min(self.solver_order, scales.history(i) + 1, 2 if i == n - 2 and few else 3)

    def _advance(self, c: EDMDPMSolverCall, state: State, output: Float, noise: Float | None) -> State:
        m = self.predicted_x0(state.x, output, 1.0, c.sigma)
        order = min(len(c.updates), len(state.history) + 1)
        x = apply_update(c.updates[order - 1], state.x, (m, *state.history[::-1][: order - 1]), noise)
        return state.advance(x, history=(*state.history, m)[-(self.solver_order - 1) :] if self.solver_order > 1 else ())

    def x0_weights(self, alpha: float, sigma: float) -> tuple[float, float]:
        """Return (c_skip, c_out) with x0 = c_skip * x + c_out * output; alpha is 1 here."""
        del alpha
        return self.grid.x0_weights(sigma, velocity=self.prediction_type == "v_prediction")
