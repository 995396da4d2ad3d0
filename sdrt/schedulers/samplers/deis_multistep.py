"""DEIS: diffusion exponential integrator sampler, multistep in log rho (Zhang and Chen 2022, arXiv:2204.13902).

Adams-Bashforth over the noise, in rho = sigma / alpha with polynomials in log rho: equation 15 of the paper, and its appendix H.3. log rho
is -lambda, so that with h = lambda' - lambda and the weights w of :func:`sdrt.schedulers.steps.exponential.adams_weights`

    x' = alpha' / alpha * x - sigma' * h * sum of w * eps_hat of this call and those before
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
from sdrt.schedulers.steps.corrector import PredictorCorrectorCall, correct_and_predict
from sdrt.schedulers.steps.dpm_update import FEW_STEPS
from sdrt.schedulers.steps.exponential import adams_weights, step_shares
from sdrt.schedulers.steps.solver_output import SolverOutput

__all__ = ["DEISMultistep"]


@dataclass(frozen=True, kw_only=True)
class DEISMultistep(Sampler):
    """Predictors of orders 1 to 3, without correctors.

    diffusers 0.42.1 takes the integrals as differences of far larger float32 numbers: a third-order run of 200 steps of it departs by up to
    1e-3 from the same formulas in float64.
    """

    name: ClassVar[str] = "DEISMultistepScheduler"

    prediction_type: Prediction = setting("epsilon")
    grid: SolverGrid = group(
        SolverGrid,
        without=[*UNIPC_ONLY, "final_sigmas_type", "lambda_min_clipped", "rescale_betas_zero_snr", "use_lu_lambdas"],
        choices={"time_shift_type": ("exponential",)},
    )
    output: SolverOutput = group(SolverOutput, without=["variance_type"])
    solver_order: int = setting(2, kind=whole(1, 3))  # 1 to 3
    # Values that belong to other classes, as they come when one class is built from another's configuration, mean the only one.
    algorithm_type: Literal["deis"] = setting("deis", foreign={"dpmsolver": "deis", "dpmsolver++": "deis"})
    solver_type: Literal["logrho"] = setting("logrho", foreign={"midpoint": "logrho", "heun": "logrho", "bh1": "logrho", "bh2": "logrho"})
    lower_order_final: bool = setting(True)  # end with lower orders in runs of fewer than 15 steps

    def __post_init__(self) -> None:
        super().__post_init__()
        self.grid.check_prediction(self.prediction_type)

    def predicted_x0(self, x: Float, output: Float, alpha: float, sigma: float) -> Float:
        """Return the clean sample that an output amounts to, within its bound."""
        return self.output.bound(super().predicted_x0(x, output, alpha, sigma))

    def _plan(self, request: Request) -> Plan:
        levels = self.grid.levels(request)
        scales, n = levels.scales_f64(), len(levels.timesteps)
        return levels.plan(tuple(self._call(i, n, scales) for i in range(n)))

    def _call(self, i: int, n: int, scales: Scales) -> PredictorCorrectorCall:
        alpha, sigma = scales.alphas[i], scales.sigmas[i]
        return PredictorCorrectorCall(
            alpha=alpha,
            sigma=sigma,
            noise_scale=self.grid.noise_scale(self.prediction_type, alpha, sigma),
            sample=scales.alphas[i + 1] / alpha,
            predictors=tuple(self._predictor(order, i, scales) for order in range(1, self._highest_order(i, n, scales) + 1)),
        )

    def _predictor(self, order: int, i: int, scales: Scales) -> tuple[float, ...]:
        """Return the weights of predictions, newest first (equation 15)."""
        h, sigma_next = scales.lambdas[i + 1] - scales.lambdas[i], scales.sigmas[i + 1]
        weights = adams_weights(-h, step_shares(i, scales, order - 1), self.functions) if h else (0.0,)
        return tuple(-sigma_next * h * weight for weight in weights)

    def _highest_order(self, i: int, n: int, scales: Scales) -> int:
        """Return the order that call i may have, given enough history."""
        possible = min(self.solver_order, scales.num_differences(i) + 1)
        few = self.lower_order_final and n < FEW_STEPS
        return min(possible, max(1, n - i)) if few and i >= n - 2 else possible

    def _advance(self, c: PredictorCorrectorCall, state: State, output: Float, noise: Float | None) -> State:
        eps = self._eps(c, state.x, output)
        return correct_and_predict(c, state, eps, noise, memory=self.solver_order - 1)

    def _eps(self, c: PredictorCorrectorCall, x: Float, output: Float) -> Float:
        return self.output.eps(self.prediction_type, x, output, c.alpha, c.sigma)
