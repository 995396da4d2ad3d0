"""SA-Solver: stochastic Adams (Xue et al. 2023, arXiv:2309.05019).

With lambda = log(alpha / sigma), h = lambda' - lambda, and tau how much of the flow's noise is made anew, over x0 (proposition 4.2, and
equations 14 and 17 for predictor and corrector):

    x' = exp(-tau**2 h) * sigma' / sigma * x + alpha' * (1 + tau**2) * h * sum of w * x0_hat + sigma' * sqrt(1 - exp(-2 tau**2 h)) * z

where the weights w are those of exponential Adams methods over an exponent of (1 + tau**2) * h.
"""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from sdrt.arrays import Float
from sdrt.exact.mathematics import Functions
from sdrt.schedulers.core.kinds import whole
from sdrt.schedulers.core.prediction import Prediction
from sdrt.schedulers.core.run import Plan, Request, Scales, State
from sdrt.schedulers.core.sampler import Sampler
from sdrt.schedulers.core.settings import group, setting
from sdrt.schedulers.grids.solver import UNIPC_ONLY, SolverGrid
from sdrt.schedulers.steps.corrector import PredictorCorrectorCall, correct_and_predict
from sdrt.schedulers.steps.exponential import adams_weights, moment, step_shares
from sdrt.schedulers.steps.solver_output import SolverOutput
from sdrt.values import Choice

__all__ = ["SASolver"]

# diffusers' tau_func: how much of the flow's noise is made anew, all of it in the middle of a run and none at its ends.
_TAU = 1.0
_FIRST, _LAST = 200, 800


@dataclass(frozen=True, kw_only=True)
class SASolver(Sampler):
    """Predictors and correctors of orders 1 to 4, with fresh noise at every step (of weight 0 where tau is 0).

    diffusers 0.42.1 takes the weights from powers of lambda, in float32: a run of 200 steps of it with orders above 2 departs by up to its
    own value from the same formulas in float64.
    """

    name: ClassVar[str] = "SASolverScheduler"

    prediction_type: Prediction = setting("epsilon")
    grid: SolverGrid = group(
        SolverGrid,
        without=[*UNIPC_ONLY, "final_sigmas_type", "rescale_betas_zero_snr", "time_shift_type", "use_dynamic_shifting", "use_lu_lambdas"],
        fixed={"accepts": frozenset({"timesteps"})},
    )
    output: SolverOutput = group(SolverOutput)
    predictor_order: int = setting(2, kind=whole(1, 4))
    corrector_order: int = setting(2, kind=whole(1, 4))
    tau_func: None = setting(None, kind=Choice(None))  # a function: diffusers' own alone is built
    algorithm_type: Literal["data_prediction", "noise_prediction"] = setting("data_prediction")
    lower_order_final: bool = setting(True)  # let the orders fall over the last steps

    def __post_init__(self) -> None:
        super().__post_init__()
        self.grid.check_prediction(self.prediction_type)

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
        taus = tuple(_TAU if _FIRST <= t <= _LAST else 0.0 for t in levels.timesteps.tolist())
        return levels.plan(tuple(self._call(i, taus, scales) for i in range(len(taus))), draws=True)

    def _call(self, i: int, taus: tuple[float, ...], scales: Scales) -> PredictorCorrectorCall:
        n, tau = len(taus), taus[i]
        alpha, sigma = scales.alphas[i], scales.sigmas[i]
        h = _length(i, scales)
        return PredictorCorrectorCall(
            alpha=alpha,
            sigma=sigma,
            noise_scale=self.grid.noise_scale(self.prediction_type, alpha, sigma),
            correctors=self._correctors(i - 1, n, taus[i - 1], scales) if i else (),
            sample=self._sample_weight(i, tau, h, scales),
            noise=self._noise_weight(scales.sigmas[i + 1], tau, h, scales.functions),
            predictors=self._predictors(i, n, tau, scales),
        )

    def _sample_weight(self, i: int, tau: float, h: float, scales: Scales) -> float:
        weight: float
        if self._expands_x0:
            weight = scales.functions.exp(-(tau * tau) * h) * scales.sigmas[i + 1] / scales.sigmas[i]
        else:
            weight = scales.alphas[i + 1] / scales.alphas[i]
        return weight

    def _noise_weight(self, sigma: float, tau: float, h: float, functions: Functions) -> float:
        """Return the deviation of the noise that a step of length h makes (proposition 4.2 of the paper; its appendix A for the noise)."""
        if self._expands_x0:
            return sigma * math.sqrt(-functions.expm1(-2 * (tau * tau) * h))
        return tau * sigma * math.sqrt(functions.expm1(2 * h))

    def _predictors(self, i: int, n: int, tau: float, scales: Scales) -> tuple[tuple[float, ...], ...]:
        """Return the weights of the stochastic Adams-Bashforth step from stop i, by order (equation 14)."""
        if not _length(i, scales):
            return ((0.0,),)
        falling = n - i if self.lower_order_final else 4
        orders = range(1, min(self.predictor_order, falling, scales.history(i) + 1) + 1)
        return tuple(self._adams(i, tau, scales, step_shares(i, scales, order - 1)) for order in orders)

    def _correctors(self, i: int, n: int, tau: float, scales: Scales) -> tuple[tuple[float, ...], ...]:
        """Return the weights of the stochastic Adams-Moulton step from stop i, by the number of predictions behind (equation 17)."""
        if not _length(i, scales):
            return ()
        falling = n - i + 1 if self.lower_order_final else 4
        order = min(self.corrector_order, falling, scales.history(i) + 2)
        if order == 1:
            return (self._adams(i, tau, scales, (1.0,)),)
        return tuple(self._adams(i, tau, scales, (1.0, *step_shares(i, scales, behind - 1))) for behind in range(1, order))

    def _adams(self, i: int, tau: float, scales: Scales, shares: tuple[float, ...]) -> tuple[float, ...]:
        """Return the weights of predictions at these shares of the step from stop i."""
        h, grown = _length(i, scales), 1 + tau * tau
        if not self._expands_x0:
            return tuple(-grown * scales.sigmas[i + 1] * h * weight for weight in adams_weights(-h, shares, scales.functions))
        scale = scales.alphas[i + 1] * grown * h
        if len(shares) == 2:
            return tuple(scale * weight for weight in _straight((shares[0], shares[1]), grown * h, scales.functions))
        return tuple(scale * weight for weight in adams_weights(grown * h, shares, scales.functions))

    @property
    def _expands_x0(self) -> bool:
        return self.algorithm_type == "data_prediction"

    def _advance(self, c: PredictorCorrectorCall, state: State, output: Float, noise: Float | None) -> State:
        if self._expands_x0:
            m = self.output.x0(self.prediction_type, state.x, output, c.alpha, c.noise_scale)
        else:
            m = self.output.eps(self.prediction_type, state.x, output, c.alpha, c.sigma)
        return correct_and_predict(c, state, m, noise, memory=max(self.predictor_order, self.corrector_order) - 1 or 1)


def _straight(shares: tuple[float, float], z: float, functions: Functions) -> tuple[float, float]:
    """Return the weights of two predictions with the slope of the line through them counted as without an exponential: one half.

    The authors' code does so in its second-order predictor and corrector over x0, and so does diffusers.
    """
    (a, b), rise = shares, moment(0, z, functions)
    return (0.5 - b * rise) / (a - b), (a * rise - 0.5) / (a - b)


def _length(i: int, scales: Scales) -> float:
    """Return the length of the step from stop i in lambda."""
    h: float = scales.lambdas[i + 1] - scales.lambdas[i]
    return h
