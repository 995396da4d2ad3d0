"""What the samplers of DPM-Solver's family share: which stops they visit, and how a network's output becomes what they expand."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from sdrt.arrays import F64, Float
from sdrt.errors import ConfigError
from sdrt.schedulers.core.prediction import to_eps, to_x0
from sdrt.schedulers.core.run import Plan
from sdrt.schedulers.grids.sigmas import SIGMA_KEYS, FinalSigma, SigmaSpacing
from sdrt.schedulers.scheduled import SCHEDULE_KEYS, ScheduledSampler
from sdrt.schedulers.solver_flow import SOLVER_FLOW_KEYS, SolverFlow
from sdrt.schedulers.solver_stops import SolverStops
from sdrt.schedulers.spacing import Spacing
from sdrt.schedulers.steps.bounds import BOUND_KEYS, NO_BOUND, X0Bound

__all__ = ["FEW_STEPS", "PREDICTIONS", "SOLVER_KEYS", "VARIANCES", "SolverSampler", "VarianceType"]

VarianceType = Literal["learned", "learned_range"] | None

SOLVER_KEYS: dict[str, Any] = SCHEDULE_KEYS | BOUND_KEYS | SIGMA_KEYS | SOLVER_FLOW_KEYS | {"timestep_spacing": "linspace"}
PREDICTIONS = ("epsilon", "v_prediction", "sample", "flow_prediction")
VARIANCES = (None, "learned", "learned_range")

FEW_STEPS = 15  # below this, lower_order_final lowers the order of the last two steps (diffusers)


@dataclass(frozen=True, kw_only=True)
class SolverSampler(ScheduledSampler):
    """The settings that decide about stops and predictions, whatever is computed between the stops.

    With ``flow.use_flow_sigmas`` the stops are a flow's, where alpha and sigma add up to 1, and the noise schedule says nothing.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"timesteps", "mu"})
    cuts_cosine: ClassVar[bool] = False  # whether diffusers cuts the fractions off the karras timesteps of the cosine schedule
    ends_at_trained: ClassVar[bool] = False  # whether a formula's run ends at the smallest trained ratio, and not at its own last one
    flow_from_one: ClassVar[bool] = False  # whether a flow's run begins at 1, and not at 1 - 1 / T
    needs_mu: ClassVar[bool] = False  # whether the class of diffusers insists on mu where the shift is dynamic

    timestep_spacing: Spacing = "linspace"
    sigma_spacing: SigmaSpacing = field(default_factory=SigmaSpacing)
    final_sigma: FinalSigma = "sigma_min"
    lambda_min_clipped: float = -math.inf  # leave out timesteps noisier than this log(alpha / sigma): -5.1 for the cosine schedule
    flow: SolverFlow = field(default_factory=SolverFlow)
    bound: X0Bound = NO_BOUND
    variance_type: VarianceType = None  # whether the network also says a variance, which these samplers leave aside

    def __post_init__(self) -> None:
        super().__post_init__()
        foreign = "v_prediction" if self.flow.use_flow_sigmas else "flow_prediction"
        if self.prediction_type == foreign and self.compat != "diffusers":
            raise ConfigError(
                f"a {foreign} belongs to {'a noise schedule' if self.flow.use_flow_sigmas else 'a flow'}, "
                f"got use_flow_sigmas {self.flow.use_flow_sigmas}; set it to {not self.flow.use_flow_sigmas}"
            )

    @property
    def ends_at_zero(self) -> bool:
        """Whether a run ends without any noise, and not at the smallest trained ratio."""
        return self.final_sigma == "zero"

    @property
    def doubled_output(self) -> bool:
        """Whether the network's output has twice the sample's channels: a noise and its variance."""
        return self.variance_type is not None and self.prediction_type == "epsilon"

    def alpha_bar(self) -> F64:
        """The signal power at every trained timestep, f64[T].

        Raises
        ------
        ConfigError : the stops are a flow's
        """
        if self.flow.use_flow_sigmas:
            raise ConfigError("a flow has no alphas_cumprod, so noise is added at timesteps of the plan alone; use those, or sigmas")
        return super().alpha_bar()

    def shown_sigmas(self, plan: Plan) -> Float:
        """f[calls + 1]: the noise-to-signal ratio at each stop, or a flow's share of noise."""
        return plan.sigmas if self.flow.use_flow_sigmas else super().shown_sigmas(plan)

    def whole_plan(self) -> Plan:
        """Lay out every trained timestep; a flow has those above 0."""
        if self.flow.use_flow_sigmas:
            falling = range(self.num_train_timesteps - 1, 0, -1)
            return self.plan(timesteps=falling[::-1] if self.inverse else falling)
        return super().whole_plan()

    def _config(self) -> dict[str, Any]:
        return (
            super()._config()
            | self.sigma_spacing.config()
            | self.flow.config()
            | self.bound.config()
            | {
                "final_sigmas_type": self.final_sigma,
                "lambda_min_clipped": self.lambda_min_clipped,
                "variance_type": self.variance_type,
            }
        )

    @classmethod
    def _read(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        return super()._read(values) | {
            "timestep_spacing": values.get("timestep_spacing", "linspace"),
            "sigma_spacing": SigmaSpacing.read(values),
            "final_sigma": values.get("final_sigmas_type", "sigma_min"),
            "lambda_min_clipped": float(values.get("lambda_min_clipped", -math.inf)),
            "flow": SolverFlow.read(values),
            "bound": X0Bound.read(values),
            "variance_type": values.get("variance_type"),
        }

    def _laid_out(self, stops: SolverStops, calls: tuple[Any, ...], *, draws: bool = False) -> Plan:
        """Return the plan of a sampler that makes one call a step."""
        n = len(calls)
        wide, starts = stops.wide_scales(), tuple(range(n))
        return Plan(
            timesteps=stops.timesteps, alphas=wide.alphas, sigmas=wide.sigmas, coefficients=calls, draws=(draws,) * n, starts=starts
        )

    def _x0(self, x: Float, output: Float, alpha: float, sigma: float) -> Float:
        """Return the predicted x0 within its bound, of x's shape and dtype."""
        return self.bound(to_x0(self.prediction_type, x, self._mean(output), alpha, self._flow_share(alpha, sigma)))

    def _eps(self, x: Float, output: Float, alpha: float, sigma: float) -> Float:
        """Return the predicted noise, of x's shape and dtype: that of the bounded x0, where there is a bound."""
        eps = to_eps(self.prediction_type, x, self._mean(output), alpha, sigma)
        return to_eps("sample", x, self.bound(to_x0("epsilon", x, eps, alpha, sigma)), alpha, sigma) if self.bound else eps

    def _flow_share(self, alpha: float, sigma: float) -> float:
        """Return the noise scale that a prediction belongs to: the stop's own.

        diffusers 0.42.1 takes a flow_prediction at the stops of a noise schedule, and their ratio for its share of noise.
        """
        return sigma / alpha if self.prediction_type == "flow_prediction" and not self.flow.use_flow_sigmas else sigma

    def x0_weights(self, alpha: float, sigma: float) -> tuple[float, float]:
        return super().x0_weights(alpha, self._flow_share(alpha, sigma))

    def _mean(self, output: Float) -> Float:
        """Return the prediction without its variance."""
        return output[:, : output.shape[1] // 2] if self.doubled_output else output

    def _x0_bound(self) -> X0Bound:
        return self.bound
