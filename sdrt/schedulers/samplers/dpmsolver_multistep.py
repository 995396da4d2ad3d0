"""DPM-Solver and DPM-Solver++, multistep, orders 1 to 3, deterministic and stochastic (Lu et al. 2022, arXiv:2206.00927 and 2211.01095).

With lambda = log(alpha / sigma), a step of length h = lambda' - lambda expands the network's prediction in differences over earlier calls:
D0 is this call's prediction, D1 = (D0 - the one before) / r0, where r0 is the length of the step before in steps of this one. Over x0_hat
(DPM-Solver++, arXiv:2211.01095, equation 14 and algorithm 2), in second order,

    x' = sigma' / sigma * x - alpha' * (exp(-h) - 1) * D0 - alpha' * (exp(-h) - 1) / 2 * D1

Over eps_hat (DPM-Solver) alpha and sigma change places and h changes its sign; the stochastic ones (section 5) add fresh noise.
:mod:`sdrt.schedulers.steps.dpm_update` has the weights of all of them.
"""

from dataclasses import dataclass
from typing import ClassVar

from sdrt.arrays import Float
from sdrt.schedulers.core.kinds import whole
from sdrt.schedulers.core.prediction import Prediction
from sdrt.schedulers.core.run import Plan, Request, Scales, State
from sdrt.schedulers.core.sampler import Sampler
from sdrt.schedulers.core.settings import group, setting
from sdrt.schedulers.grids.solver import UNIPC_ONLY, SolverGrid
from sdrt.schedulers.grids.solver_inverse import InverseSolverGrid
from sdrt.schedulers.steps.dpm_update import (
    FEW_STEPS,
    Algorithm,
    SolverType,
    Update,
    apply_update,
    check_end,
    expands_x0,
    is_stochastic,
    multistep_update,
)
from sdrt.schedulers.steps.solver_output import SolverOutput

__all__ = ["DPMSolverCall", "DPMSolverMultistep"]


@dataclass(frozen=True, kw_only=True)
class DPMSolverCall:
    """The numbers of one call."""

    alpha: float
    sigma: float
    noise_scale: float  # the one that the prediction belongs to
    updates: tuple[Update, ...]  # by order, up to the highest of this call


@dataclass(frozen=True, kw_only=True)
class DPMSolverMultistep(Sampler):
    """Each call expands the predictions of the calls before it.

    Scalars are computed in the numerics' own type, in diffusers' order of operations, so that whole runs agree to the bit wherever the
    square roots do. A float64 sample stays float64, which diffusers 0.42.1 rounds to float32.
    """

    name: ClassVar[str] = "DPMSolverMultistepScheduler"

    prediction_type: Prediction = setting("epsilon")
    grid: SolverGrid | InverseSolverGrid = group(
        SolverGrid,
        without=UNIPC_ONLY,
        choices={"time_shift_type": ("exponential",)},
        fixed={"ends_at_trained": True, "cuts_cosine": True},
        final_sigmas_type="zero",
    )
    output: SolverOutput = group(SolverOutput)
    solver_order: int = setting(2, kind=whole(1, 3))  # 1 to 3
    # Values that belong to other classes, as they come when one class is built from another's configuration, mean the default.
    algorithm_type: Algorithm = setting("dpmsolver++", foreign={"deis": "dpmsolver++"})
    solver_type: SolverType = setting("midpoint", foreign={"logrho": "midpoint", "bh1": "midpoint", "bh2": "midpoint"})
    lower_order_final: bool = setting(True)  # end with lower orders in runs of fewer than 15 steps
    euler_at_final: bool = setting(False)  # end with a first-order step always

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
        scales, n = levels.scales(), len(levels.timesteps)
        calls = []
        for i in range(n):
            alpha, sigma = float(scales.alphas[i]), float(scales.sigmas[i])
            noise_scale = self.grid.noise_scale(self.prediction_type, alpha, sigma)
            updates = tuple(self._update(order, i, scales) for order in range(1, self._highest_order(i, n, scales) + 1))
            calls.append(DPMSolverCall(alpha=alpha, sigma=sigma, noise_scale=noise_scale, updates=updates))
        return levels.plan(tuple(calls), draws=is_stochastic(self.algorithm_type))

    def _update(self, order: int, i: int, scales: Scales) -> Update:
        return multistep_update(self.algorithm_type, self.solver_type, order, i, scales)

    def _highest_order(self, i: int, n: int, scales: Scales) -> int:
        """Return the highest order of call i, with enough history."""
        few = self.lower_order_final and n < FEW_STEPS
        if i == n - 1 and (self.euler_at_final or few):
            return 1
        return min(self.solver_order, scales.num_differences(i) + 1, 2 if i == n - 2 and few else 3)

    def _advance(self, c: DPMSolverCall, state: State, output: Float, noise: Float | None) -> State:
        if expands_x0(self.algorithm_type):
            m = self.output.x0(self.prediction_type, state.x, output, c.alpha, c.noise_scale)
        else:
            m = self.output.eps(self.prediction_type, state.x, output, c.alpha, c.sigma)
        order = min(len(c.updates), len(state.history) + 1)
        x = apply_update(c.updates[order - 1], state.x, (m, *state.history[::-1][: order - 1]), noise)
        return state.advance(x, history=(*state.history, m)[-(self.solver_order - 1) :] if self.solver_order > 1 else ())
