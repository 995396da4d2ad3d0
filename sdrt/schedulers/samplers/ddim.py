"""DDIM: denoising diffusion implicit models (Song, Meng and Ermon 2020, arXiv:2010.02502)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from sdrt.arrays import F64, Float
from sdrt.errors import ConfigError
from sdrt.schedulers.core.numerics import real_type
from sdrt.schedulers.core.prediction import check_alpha, to_eps
from sdrt.schedulers.core.run import Plan, Request
from sdrt.schedulers.one_step import BoundedOneStepSampler, Transfer, one_call_plan, transfers
from sdrt.schedulers.scheduled import SCHEDULE_KEYS, with_final
from sdrt.schedulers.spacing import rounded
from sdrt.schedulers.steps.bounds import BOUND_KEYS, divided_by

__all__ = ["DDIM"]


@dataclass(frozen=True, kw_only=True)
class DDIM(BoundedOneStepSampler):
    """Equation 12 of the paper.

    Each step ends where the next one starts. diffusers 0.42.1 steps to ``timestep - T // n`` instead, which is another place wherever n
    does not divide T under ``trailing``, and under ``linspace``; its ``leading`` agrees, save that there the run ends at the final
    alpha_bar even if steps_offset >= T // n.
    """

    name: ClassVar[str] = "DDIMScheduler"
    keys: ClassVar[Mapping[str, Any]] = (
        SCHEDULE_KEYS
        | BOUND_KEYS
        | {
            "clip_sample": True,
            "clip_sample_range": 1.0,
            "set_alpha_to_one": True,
            "timestep_spacing": "leading",
            "rescale_betas_zero_snr": False,
        }
    )
    step_options: ClassVar[tuple[str, ...]] = ("eta", "use_clipped_model_output")

    eta: float = 0.0  # 0: deterministic; 1: as much fresh noise as DDPM
    set_alpha_to_one: bool = True  # whether the run ends without any noise, or at the first trained timestep's alpha_bar
    use_clipped_model_output: bool = False  # whether the noise is computed anew from the bounded x0 (GLIDE)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.eta <= 1:
            raise ConfigError(f"eta must be in [0, 1], from deterministic to DDPM, got {self.eta}")

    def _plan(self, request: Request) -> Plan:
        timesteps = rounded(self._timesteps(request))
        table = self.alpha_bar()
        now, then = (a.astype(real_type(self.numerics)) for a in self._ends(timesteps, table, request))
        alphas, sigmas = divided_by(np.sqrt(now), self.bound, self.compat), np.sqrt(1 - now)
        check_alpha(self.prediction_type, float(alphas.min()))
        # Equation 16, in the numerics' own type and diffusers' order: near 0 noise, rounding moves the variance by 1e-4.
        noises = np.sqrt((1 - then) / (1 - now) * (1 - now / then)) * self.eta
        # Where rounding makes the remainder negative, diffusers 0.42.1 gives NaN (eta 1 with zero terminal SNR).
        directions = np.sqrt(np.maximum(1 - then - noises**2, 0))
        steps = transfers(self.prediction_type, alphas, sigmas, np.sqrt(then), directions, noises)
        end = then[-1:]
        return one_call_plan(
            timesteps,
            np.append(alphas, np.sqrt(end)).astype(np.float64),
            np.append(sigmas, np.sqrt(1 - end)).astype(np.float64),
            steps,
            draws=self.eta > 0,
        )

    def _ends(self, timesteps: npt.NDArray[np.int64], table: F64, request: Request) -> tuple[F64, F64]:
        """Return alpha_bar where each step starts, and where it ends: f64[calls] each."""
        now = table[timesteps]
        if self.compat == "diffusers" and request.timesteps is None:
            before = timesteps - self.num_train_timesteps // request.n
            return now, np.where(before >= 0, table[before], 1.0 if self.set_alpha_to_one else table[0])
        return now, with_final(table, now, self.set_alpha_to_one)[1:]

    def _eps(self, c: Transfer, x: Float, output: Float, x0: Float) -> Float:
        if self.use_clipped_model_output:
            return to_eps("sample", x, x0, c.alpha, c.sigma)
        return super()._eps(c, x, output, x0)

    def _config(self) -> dict[str, Any]:
        return super()._config() | {"set_alpha_to_one": self.set_alpha_to_one}

    @classmethod
    def _read(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        return super()._read(values) | {"set_alpha_to_one": values["set_alpha_to_one"]}
