"""DDIM: denoising diffusion implicit models (Song, Meng and Ermon 2020, arXiv:2010.02502)."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from sdrt.arrays import F64, Float
from sdrt.errors import ConfigError
from sdrt.schedulers.noise_schedule import real_type
from sdrt.schedulers.one_step import OneStepSampler, Transfer, one_call_plan, transfers
from sdrt.schedulers.plan import Plan
from sdrt.schedulers.prediction import check_alpha, to_eps, to_x0
from sdrt.schedulers.spacing import place, rounded
from sdrt.schedulers.state import State

__all__ = ["DDIM", "with_final"]


@dataclass(frozen=True, kw_only=True)
class DDIM(OneStepSampler):
    """Equation 12 of the paper.

    Each step ends where the next one starts. diffusers 0.42.1 steps to ``timestep - T // n`` instead, which is another place wherever n
    does not divide T under ``trailing``, and under ``linspace``; its ``leading`` agrees, save that there the run ends at the final
    alpha_bar even if steps_offset >= T // n.
    """

    name: ClassVar[str] = "DDIMScheduler"

    eta: float = 0.0  # 0: deterministic; 1: as much fresh noise as DDPM
    set_alpha_to_one: bool = True  # whether the run ends without any noise, or at the first trained timestep's alpha_bar
    clip_sample_range: float | None = None  # clip the predicted x0 to +- this: for models of pixels, not of latents

    def __post_init__(self) -> None:
        if not 0 <= self.eta <= 1:
            raise ConfigError(f"eta must be in [0, 1], from deterministic to DDPM, got {self.eta}")
        if self.clip_sample_range is not None and not self.clip_sample_range > 0:
            raise ConfigError(f"clip_sample_range must be above 0, got {self.clip_sample_range}; clip_sample false turns clipping off")

    def _plan(self, n: int) -> Plan:
        timesteps = rounded(place(self.timestep_spacing, self.schedule.num_train_timesteps, n, self.steps_offset))
        table = self.schedule.alpha_bar(self.numerics)
        alpha_bar = with_final(table, table[timesteps], self.set_alpha_to_one).astype(real_type(self.numerics))
        alphas, sigmas = np.sqrt(alpha_bar), np.sqrt(1 - alpha_bar)
        check_alpha(self.prediction_type, float(alphas.min()))
        now, then = alpha_bar[:-1], alpha_bar[1:]
        # Equation 16, in the numerics' own type and diffusers' order: near 0 noise, rounding moves the variance by 1e-4.
        noises = np.sqrt((1 - then) / (1 - now) * (1 - now / then)) * self.eta
        # Where rounding makes the remainder negative, diffusers 0.42.1 gives NaN (eta 1 with zero terminal SNR).
        directions = np.sqrt(np.maximum(1 - then - noises**2, 0))
        steps = transfers(self.prediction_type, alphas, sigmas, directions, noises)
        return one_call_plan(timesteps, alphas.astype(np.float64), sigmas.astype(np.float64), steps, draws=self.eta > 0)

    def _advance(self, c: Transfer, state: State, output: Float, noise: Float | None) -> State:
        limit = self.clip_sample_range
        if limit is None:
            return super()._advance(c, state, output, noise)
        x0 = np.clip(to_x0(self.prediction_type, state.x, output, c.alpha, c.sigma), -limit, limit)
        x: Float = x0 * c.alpha_next
        np.add(x, to_eps(self.prediction_type, state.x, output, c.alpha, c.sigma) * c.direction, out=x)
        if noise is not None:
            np.add(x, noise * c.noise, out=x)
        return state.moved(x)

    def with_eta(self, eta: float) -> Self:
        """Return this sampler with another share of fresh noise, in [0, 1]."""
        return replace(self, eta=eta)

    def _x0_limit(self) -> float | None:
        return self.clip_sample_range

    def _own_config(self) -> dict[str, Any]:
        return {
            "rescale_betas_zero_snr": self.schedule.rescale_betas_zero_snr,
            "set_alpha_to_one": self.set_alpha_to_one,
            "clip_sample": self.clip_sample_range is not None,
            "clip_sample_range": 1.0 if self.clip_sample_range is None else self.clip_sample_range,
        }


def with_final(table: F64, at_timesteps: F64, set_alpha_to_one: bool) -> F64:
    """Append the alpha_bar at which the run ends: 1, or that of the first trained timestep."""
    return np.append(at_timesteps, 1.0 if set_alpha_to_one else table[0])
