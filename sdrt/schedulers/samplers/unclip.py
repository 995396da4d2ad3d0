"""unCLIP's sampler (Ramesh et al. 2022, arXiv:2204.06125): DDPM over the cosine schedule, for its prior, decoder and upscalers.

x' = mean(x0_hat, x) + deviation * z,    with the posterior of `sdrt.schedulers.steps.posterior`
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from sdrt.arrays import Float
from sdrt.schedulers.core.run import Plan, Request, State
from sdrt.schedulers.core.sampler import Sampler
from sdrt.schedulers.core.settings import group, setting
from sdrt.schedulers.grids.timestep_table import TableLevels, TimestepGrid
from sdrt.schedulers.steps.bounds import X0Bound
from sdrt.schedulers.steps.posterior import PosteriorCall, PosteriorVariance, advance_posterior, posterior_calls

__all__ = ["UnCLIP"]

# unCLIP's classes have a cosine schedule and linspace, and no keys for either.
_FIXED_KEYS = (
    "beta_start",
    "beta_end",
    "trained_betas",
    "rescale_betas_zero_snr",
    "timestep_spacing",
    "steps_offset",
    "set_alpha_to_one",
)


@dataclass(frozen=True, kw_only=True)
class UnCLIP(Sampler):
    """Each step ends where the next one starts, as in the pipelines of diffusers, which tell ``step`` so by ``prev_timestep``."""

    name: ClassVar[str] = "UnCLIPScheduler"

    prediction_type: Literal["epsilon", "v_prediction", "sample"] = setting("epsilon")
    grid: TimestepGrid = group(
        TimestepGrid,
        without=_FIXED_KEYS,
        choices={"beta_schedule": ("squaredcos_cap_v2",)},
        beta_schedule="squaredcos_cap_v2",
        timestep_spacing="linspace",
    )
    bound: X0Bound = group(X0Bound, without=["thresholding", "dynamic_thresholding_ratio", "sample_max_value"], clip_sample=True)
    variance: PosteriorVariance = group(
        PosteriorVariance, choices={"variance_type": ("fixed_small_log", "learned_range")}, variance_type="fixed_small_log"
    )

    @property
    def doubled_output(self) -> bool:
        """Whether the network predicts the variance."""
        return self.variance.is_learned

    def _plan(self, request: Request) -> Plan:
        levels, betas = self._levels(request)
        calls = posterior_calls(levels, betas, self.prediction_type, self.variance, self.functions)
        return levels.plan(calls, self.variance.draws(levels.timesteps))

    def _levels(self, request: Request) -> tuple[TableLevels, Float]:
        """Return the steps of a run, and beta between where each starts and where it ends: f[n]."""
        levels = self.grid.levels(request, self.prediction_type, self.bound)
        return levels, 1 - levels.alpha_bars / levels.ends

    def _advance(self, c: PosteriorCall, state: State, output: Float, noise: Float | None) -> State:
        return advance_posterior(c, self.prediction_type, self.bound, self.variance, state, output, noise, self.functions)
