"""Multistep DPM-Solver++ in EDM's formulation: the updates of Lu et al. 2022 (arXiv:2211.01095) with alpha = 1 and lambda = -log(sigma)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sdrt.arrays import Float
from sdrt.errors import ConfigError
from sdrt.schedulers.core.numerics import real_type
from sdrt.schedulers.core.run import Plan, Request, Scales, State
from sdrt.schedulers.edm import EDM_KEYS, EDMSampler, input_scales
from sdrt.schedulers.steps.bounds import BOUND_KEYS, NO_BOUND, X0Bound
from sdrt.schedulers.steps.dpm_update import FEW_STEPS, Algorithm, SolverType, Update, apply_update, is_stochastic, multistep_update
from sdrt.schedulers.weighted_sum import Weights, weighted_sum

__all__ = ["EDMDPMSolverCall", "EDMDPMSolverMultistep"]

_SAME = ("solver_order", "algorithm_type", "solver_type", "lower_order_final", "euler_at_final")


@dataclass(frozen=True, kw_only=True)
class EDMDPMSolverCall:
    """The numbers of one call."""

    x0: Weights  # what makes x0 of the sample and the output
    updates: tuple[Update, ...]  # by order, as far as this call may go


@dataclass(frozen=True, kw_only=True)
class EDMDPMSolverMultistep(EDMSampler):
    """Orders 1 to 3, deterministic and stochastic; each call expands the x0 of the calls before it.

    diffusers 0.42.1 has no stochastic update of order 3, and raises UnboundLocalError where a run comes to one.
    """

    name: ClassVar[str] = "EDMDPMSolverMultistepScheduler"
    keys: ClassVar[Mapping[str, Any]] = (
        EDM_KEYS
        | BOUND_KEYS
        | {
            "solver_order": 2,
            "algorithm_type": "dpmsolver++",
            "solver_type": "midpoint",
            "lower_order_final": True,
            "euler_at_final": False,
        }
    )
    choices: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        **EDMSampler.choices,
        "algorithm_type": ("dpmsolver++", "sde-dpmsolver++"),
        "solver_type": ("midpoint", "heun"),
    }

    solver_order: int = 2  # 1 to 3
    algorithm_type: Algorithm = "dpmsolver++"
    solver_type: SolverType = "midpoint"  # two forms of the second-order term
    lower_order_final: bool = True  # end with lower orders in runs of fewer than 15 steps
    euler_at_final: bool = False  # end with a first-order step always
    bound: X0Bound = NO_BOUND

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.solver_order not in (1, 2, 3):
            raise ConfigError(f"solver_order must be 1, 2 or 3, got {self.solver_order}")

    def _config(self) -> dict[str, Any]:
        return super()._config() | self.bound.config() | {key: getattr(self, key) for key in _SAME}

    @classmethod
    def _read(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        return super()._read(values) | {key: values[key] for key in _SAME} | {"bound": X0Bound.read(values)}

    def _plan(self, request: Request) -> Plan:
        sigmas = self._levels(request)
        real = real_type(self.numerics)
        scales = Scales.of(np.ones(len(sigmas), real), sigmas.astype(real))
        n = len(sigmas) - 1
        return Plan(
            timesteps=self._told(sigmas[:-1]),
            alphas=np.ones(n + 1),
            sigmas=sigmas,
            coefficients=tuple(self._call(i, n, scales) for i in range(n)),
            draws=(is_stochastic(self.algorithm_type),) * n,
            starts=tuple(range(n)),
            init_scale=self._first_scale(),
            input_scale=input_scales(sigmas[:-1], self.sigma_data),
        )

    def _call(self, i: int, n: int, scales: Scales) -> EDMDPMSolverCall:
        c_skip, c_out = self.x0_weights(1.0, float(scales.sigmas[i]))
        half = -0.5 if self.compat == "diffusers" and is_stochastic(self.algorithm_type) else 0.5  # see DiffusersDPMSolverMultistep
        orders = range(1, self._highest_order(i, n, scales) + 1)
        return EDMDPMSolverCall(
            x0=Weights(sample=c_skip, output=c_out),
            updates=tuple(multistep_update(self.algorithm_type, self.solver_type, order, i, scales, half) for order in orders),
        )

    def _highest_order(self, i: int, n: int, scales: Scales) -> int:
        """Return the order that call i may have, given enough history; 1 for a step of no length, by which higher ones divide."""
        few = self.lower_order_final and n < FEW_STEPS
        last = i == n - 1 and (self.euler_at_final or few or self.final_sigma == "zero")
        if last or scales.lambdas[i + 1] == scales.lambdas[i]:
            return 1
        return min(self.solver_order, scales.history(i) + 1, 2 if i == n - 2 and few else 3)

    def _x0_bound(self) -> X0Bound:
        return self.bound

    def _advance(self, c: EDMDPMSolverCall, state: State, output: Float, noise: Float | None) -> State:
        m = self.bound(weighted_sum(c.x0, state.x, output))
        order = min(len(c.updates), len(state.history) + 1)
        x = apply_update(c.updates[order - 1], state.x, (m, *state.history[::-1][: order - 1]), noise)
        return state.advance(x, history=(*state.history, m)[-(self.solver_order - 1) :] if self.solver_order > 1 else ())
