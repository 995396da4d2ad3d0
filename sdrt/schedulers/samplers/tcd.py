"""TCD: strategic stochastic sampling for trajectory consistency models (Zheng et al. 2024, arXiv:2402.19159, algorithm 4)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from sdrt.arrays import Array
from sdrt.errors import ConfigError
from sdrt.schedulers.core.numerics import real_type
from sdrt.schedulers.core.prediction import check_alpha
from sdrt.schedulers.core.run import Plan, Request
from sdrt.schedulers.distilled import DISTILLED_KEYS, DistilledSampler
from sdrt.schedulers.one_step import BoundedOneStepSampler, one_call_plan, transfers
from sdrt.schedulers.steps.bounds import NO_BOUND, X0Bound

__all__ = ["TCD"]


@dataclass(frozen=True, kw_only=True)
class TCD(DistilledSampler, BoundedOneStepSampler):
    """Each call goes down the trajectory to s = (1 - eta) * t', below the next timestep t', and fresh noise brings it back up to t'.

    The run ends at timestep 0, which still has the noise of the first trained timestep. diffusers 0.42.1 has keys that bound x0, and does
    not look at them; here they bound it.
    """

    name: ClassVar[str] = "TCDScheduler"
    keys: ClassVar[Mapping[str, Any]] = DISTILLED_KEYS
    step_options: ClassVar[tuple[str, ...]] = ("eta", *DistilledSampler.step_options)

    eta: float = 0.3  # the paper's gamma; 0 is deterministic
    every_timestep: bool = False  # whether a run is spread over all trained timesteps, and not over those of the distillation

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.eta <= 1:
            raise ConfigError(f"eta must be in [0, 1], from deterministic to LCM, got {self.eta}")

    def with_options(self, **options: Any) -> Self:
        """Return this sampler with other values of its :attr:`step_options`.

        As in diffusers, who passes ``original_inference_steps`` along with the number of steps gets a run over all trained timesteps, of
        at most so many.
        """
        changed = super().with_options(**options)
        return changed if options.get("original_inference_steps") is None else replace(changed, every_timestep=True)

    @property
    def max_inference_steps(self) -> int:
        """The most steps that a run can be spread over."""
        return min(self.original_inference_steps, len(self._distilled()))

    def _distilled(self) -> Array:
        if self.every_timestep:
            return np.arange(int(self.num_train_timesteps * self.strength) - 1, -1, -1)
        return super()._distilled()

    def _plan(self, request: Request) -> Plan:
        timesteps = self._visited(request)
        draws = self._draws(request, len(timesteps))
        real, table = real_type(self.numerics), self.alpha_bar()
        after = np.append(timesteps[1:], 0)
        below = np.floor(real(1 - self.eta) * after.astype(real)).astype(np.int64)
        now, then, low = (table[stops].astype(real) for stops in (timesteps, after, below))
        alphas, sigmas = np.sqrt(now), np.sqrt(1 - now)
        check_alpha(self.prediction_type, float(alphas.min()))
        up = np.where(draws, then / low, real(1))  # how much of the signal at s is left at the next timestep
        steps = transfers(self.prediction_type, alphas, sigmas, np.sqrt(up) * np.sqrt(low), np.sqrt(up) * np.sqrt(1 - low), np.sqrt(1 - up))
        end = then[-1:]
        return one_call_plan(
            timesteps,
            np.append(alphas, np.sqrt(end)).astype(np.float64),
            np.append(sigmas, np.sqrt(1 - end)).astype(np.float64),
            steps,
            draws=draws if self.eta else False,
        )

    def _x0_bound(self) -> X0Bound:
        return NO_BOUND if self.compat == "diffusers" else self.bound
