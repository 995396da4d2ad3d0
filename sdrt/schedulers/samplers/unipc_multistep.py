"""UniPC: a unified predictor-corrector (Zhao et al. 2023, arXiv:2302.04867).

With lambda = log(alpha / sigma), h = lambda' - lambda, and over x0 (equations 8 and 9, with lambda as their variable)

    UniP:  x'   = sigma' / sigma * x + alpha' * h * sum of w * x0_hat of this call and those before
    UniC:  x'_c = sigma' / sigma * x + alpha' * h * sum of v * x0_hat of the call at x', of this one and those before

The conditions of theorem 3.1 (its matrix R and vector b) make both exact for polynomials: w and v are weights of exponential Adams methods,
which are taken here in closed form, without a linear system. The free function B(h) then cancels; it acts only where the paper leaves the
conditions: in UniP-2 and UniC-1, which take one half for their weight (its appendix F).
"""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from sdrt.arrays import Float
from sdrt.schedulers.core.kinds import whole
from sdrt.schedulers.core.prediction import Prediction
from sdrt.schedulers.core.run import Plan, Request, Scales, State
from sdrt.schedulers.core.sampler import Sampler
from sdrt.schedulers.core.settings import group, setting
from sdrt.schedulers.grids.solver import SolverGrid
from sdrt.schedulers.steps.corrector import PredictorCorrectorCall, correct_and_predict
from sdrt.schedulers.steps.exponential import adams_weights, step_shares
from sdrt.schedulers.steps.solver_output import SolverOutput
from sdrt.values import Choice, ListOf

__all__ = ["UniPCMultistep"]


@dataclass(frozen=True, kw_only=True)
class UniPCMultistep(Sampler):
    """Multistep UniPC of any order."""

    name: ClassVar[str] = "UniPCMultistepScheduler"

    prediction_type: Prediction = setting("epsilon")
    grid: SolverGrid = group(
        SolverGrid,
        without=["lambda_min_clipped", "use_lu_lambdas"],
        fixed={"accepts": frozenset({"timesteps", "sigmas", "mu"}), "sigmas_include_final": False, "flow_from_one": True},
        final_sigmas_type="zero",
    )
    output: SolverOutput = group(SolverOutput, without=["variance_type"])
    solver_order: int = setting(2, kind=whole(1, 20))  # 1 and up; above 3 unstable without guidance
    predict_x0: bool = setting(True)  # whether x0 is expanded, and not the noise
    # B(h): h, or exp(h) - 1. Values that belong to other classes, as they come from their configurations, mean the default.
    solver_type: Literal["bh1", "bh2"] = setting("bh2", foreign={"midpoint": "bh2", "heun": "bh2", "logrho": "bh2"})
    lower_order_final: bool = setting(True)  # let the order fall to 1 over the last steps
    disable_corrector: tuple[int, ...] = setting(
        [], read=tuple, kind=ListOf(whole(0))
    )  # steps that are not corrected: the first ones, at strong guidance
    solver_p: None = setting(None, kind=Choice(None))  # another predictor, which is not built

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
        kept = scales.sigmas if self.predict_x0 else scales.alphas
        corrected = i > 0 and i - 1 not in self.disable_corrector
        return PredictorCorrectorCall(
            alpha=alpha,
            sigma=sigma,
            noise_scale=self.grid.noise_scale(self.prediction_type, alpha, sigma),
            correctors=self._correctors(i - 1, self._highest_order(i - 1, n, scales), scales) if corrected else (),
            sample=kept[i + 1] / kept[i],
            predictors=tuple(self._predictor(i, order, scales) for order in range(1, self._highest_order(i, n, scales) + 1)),
        )

    def _highest_order(self, i: int, n: int, scales: Scales) -> int:
        """Return the order of the step from stop i, given enough history."""
        possible = min(self.solver_order, scales.num_differences(i) + 1)
        return min(possible, n - i) if self.lower_order_final else possible

    def _predictor(self, i: int, order: int, scales: Scales) -> tuple[float, ...]:
        """Return UniP's weights of predictions, newest first (equation 8)."""
        scale, z = self._span(i, scales)
        if not z:
            return (0.0,)
        if math.isinf(z):
            return (self._to_the_end(i, scales),)
        shares = step_shares(i, scales, order - 1)
        if order != 2:
            return tuple(scale * weight for weight in adams_weights(z, shares, self.functions))
        half = self._half(scale, z) / shares[1]
        return scale * adams_weights(z, (0.0,), self.functions)[0] - half, half

    def _to_the_end(self, i: int, scales: Scales) -> float:
        """Return the weight of the prediction in a step to where there is no noise: to x0, whatever B(h).

        diffusers 0.42.1 gives NaN for bh1, whose B(h) is infinite there, and where the noise is expanded.
        """
        alpha: float = scales.alphas[i + 1]
        return alpha if self.predict_x0 else -alpha * scales.sigmas[i] / scales.alphas[i]

    def _correctors(self, i: int, order: int, scales: Scales) -> tuple[tuple[float, ...], ...]:
        """Return UniC's weights of the prediction at stop i + 1, and of those at stop i and before (equation 9), up to an order."""
        scale, z = self._span(i, scales)
        if not z:
            return ()
        first = self._half(scale, z)
        shares = ((1.0, *step_shares(i, scales, p - 1)) for p in range(2, order + 1))
        higher = (tuple(scale * weight for weight in adams_weights(z, each, self.functions)) for each in shares)
        return ((first, scale * adams_weights(z, (0.0,), self.functions)[0] - first), *higher)

    def _span(self, i: int, scales: Scales) -> tuple[float, float]:
        """Return what stands before the integrals over the step from stop i, alpha' * h over x0, and their exponent."""
        h = scales.lambdas[i + 1] - scales.lambdas[i]
        return (scales.alphas[i + 1] * h, h) if self.predict_x0 else (-scales.sigmas[i + 1] * h, -h)

    def _half(self, scale: float, z: float) -> float:
        """Return the weight of a difference to which the paper gives one half of B(h): h, or exp(h) - 1, up to sign."""
        return scale * (1.0 if self.solver_type == "bh1" else -self.functions.expm1(-z) / z) / 2

    def _advance(self, c: PredictorCorrectorCall, state: State, output: Float, noise: Float | None) -> State:
        if self.predict_x0:
            m = self.output.x0(self.prediction_type, state.x, output, c.alpha, c.noise_scale)
        else:
            m = self._eps(c, state.x, output)
        return correct_and_predict(c, state, m, noise, memory=self.solver_order)

    def _eps(self, c: PredictorCorrectorCall, x: Float, output: Float) -> Float:
        return self.output.eps(self.prediction_type, x, output, c.alpha, c.sigma)
