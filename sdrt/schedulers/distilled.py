"""Samplers for distilled models, which were trained on jumps between a few of the timesteps: they visit a subset of those."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sdrt.arrays import Array
from sdrt.errors import ConfigError
from sdrt.schedulers.core.run import Request
from sdrt.schedulers.scheduled import SCHEDULE_KEYS, ScheduledSampler
from sdrt.schedulers.spacing import given, rounded
from sdrt.schedulers.steps.bounds import BOUND_KEYS

__all__ = ["DISTILLED_KEYS", "DistilledSampler"]

DISTILLED_KEYS: dict[str, Any] = (
    SCHEDULE_KEYS
    | BOUND_KEYS
    | {
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "original_inference_steps": 50,
        "clip_sample": False,
        "clip_sample_range": 1.0,
        "set_alpha_to_one": True,
        "timestep_spacing": "leading",
        "timestep_scaling": 10.0,
        "rescale_betas_zero_snr": False,
    }
)


@dataclass(frozen=True, kw_only=True)
class DistilledSampler(ScheduledSampler):
    """What LCM and TCD share. ``timestep_spacing``, ``steps_offset`` and ``set_alpha_to_one`` say nothing here, as in diffusers."""

    step_options: ClassVar[tuple[str, ...]] = ("original_inference_steps", "strength")

    original_inference_steps: int = 50  # timesteps of the distillation
    strength: float = 1.0  # image to image: the share of them, from the clean end, that a run is spread over
    timestep_scaling: float = 10.0  # of LCM's boundary conditions
    set_alpha_to_one: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.original_inference_steps <= self.num_train_timesteps:
            raise ConfigError(
                f"original_inference_steps must be in [1, {self.num_train_timesteps}], got {self.original_inference_steps}; "
                "take the number of the distillation, 50 for most models"
            )
        if not 0 < self.strength <= 1:
            raise ConfigError(f"strength must be in (0, 1], got {self.strength}; 1 is a run from pure noise")

    @property
    def max_inference_steps(self) -> int:
        """The most steps that a run can be spread over: the timesteps of the distillation within ``strength``."""
        return len(self._distilled())

    def _distilled(self) -> Array:
        """Return the timesteps of the distillation within ``strength``, i64[m], descending."""
        skip = self.num_train_timesteps // self.original_inference_steps
        return np.arange(int(self.original_inference_steps * self.strength), 0, -1) * skip - 1

    def _visited(self, request: Request) -> Array:
        """Return the timesteps of a run, i64[calls]: given ones, of which ``strength`` keeps the last, or an even choice."""
        if request.timesteps is not None:
            found = rounded(given(request.timesteps, self.num_train_timesteps))
            kept = int(request.n * self.strength)
            if not kept:
                raise ConfigError(f"strength {self.strength} leaves none of {request.n} timesteps; take {1 / request.n:.3g} or more")
            return found[request.n - kept :]
        most = self.max_inference_steps
        if request.n > most:
            raise ConfigError(
                f"num_inference_steps must be in [1, {most}], got {request.n}: the timesteps of the distillation within the strength; "
                "take fewer steps, or more original_inference_steps"
            )
        distilled = self._distilled()
        return distilled[np.floor(np.linspace(0, len(distilled), request.n, endpoint=False)).astype(np.int64)]

    def _draws(self, request: Request, calls: int) -> tuple[bool, ...]:
        """Say for each call whether it draws: all but the last.

        Of given timesteps, diffusers 0.42.1 counts those too which strength cuts off, and so draws at the last of the others.
        """
        counted = request.n if self.compat == "diffusers" else calls
        return tuple(i != counted - 1 for i in range(calls))

    def _config(self) -> dict[str, Any]:
        return super()._config() | {
            "original_inference_steps": self.original_inference_steps,
            "timestep_scaling": self.timestep_scaling,
            "set_alpha_to_one": self.set_alpha_to_one,
        }

    @classmethod
    def _read(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        keys = ("original_inference_steps", "timestep_scaling", "set_alpha_to_one")
        return super()._read(values) | {key: values[key] for key in keys}
