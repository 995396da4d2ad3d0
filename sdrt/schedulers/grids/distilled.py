"""Timesteps for distilled models, which were trained on jumps between a few of them: a run visits a subset of those."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sdrt.arrays import Array
from sdrt.errors import ConfigError
from sdrt.exact.sequences import linspace
from sdrt.schedulers.core.kinds import whole
from sdrt.schedulers.core.run import Request
from sdrt.schedulers.core.settings import group, option, setting
from sdrt.schedulers.grids.noise_schedule import NoiseSchedule
from sdrt.schedulers.grids.timestep_table import TimestepGrid
from sdrt.schedulers.grids.timesteps import check_timesteps, round_timesteps
from sdrt.values import Flag, Number

__all__ = ["DistilledGrid"]


@dataclass(frozen=True, kw_only=True)
class DistilledGrid(TimestepGrid):
    """An even choice among the timesteps of the distillation.

    ``timestep_spacing``, ``steps_offset`` and ``set_alpha_to_one`` have no effect here, as in diffusers.

    Raises
    ------
    ConfigError : more timesteps of the distillation than were trained
    """

    step_options: ClassVar[tuple[str, ...]] = ("original_inference_steps", "strength", "every_timestep")

    schedule: NoiseSchedule = group(NoiseSchedule, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    original_inference_steps: int = setting(50, kind=whole(1))  # timesteps of the distillation
    # image to image: the share of them, from the clean end, that a run is spread over
    strength: float = option(1.0, Number(0, 1, above=True))
    every_timestep: bool = option(
        False, Flag()
    )  # whether a run is spread over all trained timesteps, and not over those of the distillation

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.original_inference_steps > self.num_train_timesteps:
            raise ConfigError(
                f"original_inference_steps must be at most num_train_timesteps, {self.num_train_timesteps}, "
                f"got {self.original_inference_steps}; "
                "take the number of the distillation, 50 for most models"
            )

    def distilled(self) -> Array:
        """Return the timesteps of the distillation within ``strength``, i64[m], descending."""
        if self.every_timestep:
            return np.arange(int(self.num_train_timesteps * self.strength) - 1, -1, -1)
        skip = self.num_train_timesteps // self.original_inference_steps
        return np.arange(int(self.original_inference_steps * self.strength), 0, -1) * skip - 1

    @property
    def max_inference_steps(self) -> int:
        """The most steps that a run can be spread over."""
        most = len(self.distilled())
        return min(self.original_inference_steps, most) if self.every_timestep else most

    def timesteps(self, request: Request) -> Array:
        """Return the timesteps of a run, i64[calls]: a caller's, of which ``strength`` keeps the last, or an even choice.

        Raises
        ------
        ConfigError : a strength that leaves none, or more steps than there are timesteps
        """
        if request.timesteps is not None:
            own = round_timesteps(check_timesteps(request.timesteps, self.num_train_timesteps))
            kept = int(request.n * self.strength)
            if not kept:
                raise ConfigError(f"strength {self.strength} leaves none of {request.n} timesteps; take {1 / request.n:.3g} or more")
            return own[request.n - kept :]
        most = self.max_inference_steps
        if request.n > most:
            raise ConfigError(
                f"num_inference_steps must be in [1, {most}], got {request.n}: the timesteps of the distillation within the strength; "
                "take fewer steps, or more original_inference_steps"
            )
        distilled = self.distilled()
        return distilled[np.floor(linspace(0, len(distilled), request.n, endpoint=False)).astype(np.int64)]

    def draws(self, request: Request, calls: int) -> tuple[bool, ...]:  # noqa: ARG002
        """Say for each call whether it draws: all but the last."""
        return tuple(i != calls - 1 for i in range(calls))
