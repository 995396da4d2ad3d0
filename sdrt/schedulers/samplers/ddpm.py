"""DDPM: denoising diffusion probabilistic models (Ho et al. 2020, arXiv:2006.11239, algorithm 2).

x' = mean(x0_hat, x) + deviation * z,    with the posterior of `sdrt.schedulers.steps.posterior`
"""

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from sdrt.arrays import Float
from sdrt.schedulers.core.run import Plan, Request, State
from sdrt.schedulers.core.sampler import Sampler
from sdrt.schedulers.core.settings import group, setting
from sdrt.schedulers.grids.noise_schedule import BetaSchedule
from sdrt.schedulers.grids.timestep_table import TimestepGrid
from sdrt.schedulers.steps.bounds import X0Bound
from sdrt.schedulers.steps.posterior import PosteriorCall, PosteriorVariance, advance_posterior, posterior_calls

__all__ = ["DDPM"]


@dataclass(frozen=True, kw_only=True)
class DDPM(Sampler):
    """Each step draws from the posterior; the run ends without noise."""

    name: ClassVar[str] = "DDPMScheduler"

    prediction_type: Literal["epsilon", "v_prediction", "sample"] = setting("epsilon")
    grid: TimestepGrid = group(TimestepGrid, without=["set_alpha_to_one"], choices={"beta_schedule": get_args(BetaSchedule)})
    bound: X0Bound = group(X0Bound, clip_sample=True)
    variance: PosteriorVariance = group(PosteriorVariance)

    @property
    def doubled_output(self) -> bool:
        """Whether the network predicts the variance."""
        return self.variance.is_learned

    def _plan(self, request: Request) -> Plan:
        levels = self.grid.levels(request, self.prediction_type, self.bound)
        betas = 1 - levels.alpha_bars / levels.ends
        calls = posterior_calls(levels, betas, self.prediction_type, self.variance, self.functions)
        return levels.plan(calls, self.variance.draws(levels.timesteps))

    def _advance(self, c: PosteriorCall, state: State, output: Float, noise: Float | None) -> State:
        return advance_posterior(c, self.prediction_type, self.bound, self.variance, state, output, noise, self.functions)
