"""DDIM run backwards, from a picture to the noise that DDIM would turn into it (Song, Meng and Ermon 2020, section 4.3)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sdrt.arrays import F64, Array
from sdrt.errors import ConfigError
from sdrt.schedulers.core.numerics import real_type
from sdrt.schedulers.core.run import Plan, Request
from sdrt.schedulers.one_step import BoundedOneStepSampler, one_call_plan, transfers
from sdrt.schedulers.scheduled import SCHEDULE_KEYS
from sdrt.schedulers.spacing import rounded

__all__ = ["DDIMInverse"]


@dataclass(frozen=True, kw_only=True)
class DDIMInverse(BoundedOneStepSampler):
    """Each step leads from the stop before a timestep to that timestep, about which the network is asked: the approximation of inversion.

    Each step starts where the one before it ended. diffusers 0.42.1 takes the sample to be at ``timestep - T // n`` instead: see
    :class:`DDIM` for where that is another place.
    """

    name: ClassVar[str] = "DDIMInverseScheduler"
    keys: ClassVar[Mapping[str, Any]] = SCHEDULE_KEYS | {
        "clip_sample": True,
        "clip_sample_range": 1.0,
        "set_alpha_to_one": True,
        "timestep_spacing": "leading",
        "rescale_betas_zero_snr": False,
        "set_alpha_to_zero": None,  # what set_alpha_to_one was called once, with the same meaning
    }
    inverse: ClassVar[bool] = True

    set_alpha_to_one: bool = True  # whether the picture has no noise at all, or that of the first trained timestep

    def _plan(self, request: Request) -> Plan:
        timesteps = self._rising(request)
        table = self.alpha_bar()
        now, then = (a.astype(real_type(self.numerics)) for a in self._ends(timesteps, table, request))
        alphas, sigmas = np.sqrt(now), np.sqrt(1 - now)
        if self.prediction_type == "sample" and sigmas.min() == 0:
            raise ConfigError("a predicted x0 says nothing about noise where there is none; set set_alpha_to_one false")
        steps = transfers(self.prediction_type, alphas, sigmas, np.sqrt(then), np.sqrt(1 - then), np.zeros(len(then)))
        end = then[-1:]
        return one_call_plan(
            timesteps,
            np.append(alphas, np.sqrt(end)).astype(np.float64),
            np.append(sigmas, np.sqrt(1 - end)).astype(np.float64),
            steps,
        )

    def _rising(self, request: Request) -> Array:
        """Return the timesteps from clean to noisy, i64[n]."""
        if request.timesteps is None:
            return rounded(self._timesteps(request))[::-1]
        found = np.round(request.timesteps).astype(np.int64)
        if found[-1] > self.num_train_timesteps - 1 or np.any(np.diff(found) <= 0):
            raise ConfigError(
                f"timesteps must lie in [0, {self.num_train_timesteps - 1}] and rise, got {found.min()} to {found.max()}; "
                "sort them from clean to noisy"
            )
        return found

    def _ends(self, timesteps: Array, table: F64, request: Request) -> tuple[F64, F64]:
        """Return alpha_bar where each step starts, and where it ends: f64[calls] each."""
        then = table[timesteps]
        picture = 1.0 if self.set_alpha_to_one else table[0]
        if self.compat == "diffusers" and request.timesteps is None:
            before = timesteps - self.num_train_timesteps // request.n
            return np.where(before >= 0, table[before], picture), then
        return np.append(picture, then[:-1]), then

    def _config(self) -> dict[str, Any]:
        return super()._config() | {"set_alpha_to_one": self.set_alpha_to_one}

    @classmethod
    def _read(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        former = values["set_alpha_to_zero"]
        return super()._read(values) | {"set_alpha_to_one": values["set_alpha_to_one"] if former is None else former}
