"""Guidance scales that change from step to step.

A schedule weighs guidance, scale - 1, by a curve over the run whose mean is 1, so that the mean of all scales is ``guidance_scale``. With
s = (k + 1/2) / n for step k of n, from 0 at noise to 1 at the picture:

    constant    1
    linear      2 s
    cosine      1 - cos(pi s)

Both curves rise: little guidance while the layout is decided, more for the details. The largest scale is below 2 * guidance_scale - 1.

Source: Wang et al. 2024 (arXiv:2404.13040), section 4: its monotonic schedulers "linear" and "cosine", normalised to the weight of the
constant one; s is measured in steps of the run where the paper has timesteps.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import pi
from typing import Literal, TypeAlias

from sdrt.arrays import Array, Float
from sdrt.errors import ConfigError
from sdrt.exact.mathematics import PLATFORM, Functions
from sdrt.guidance.base import SCALE, Call, Guidance, Guided, check_call
from sdrt.guidance.rows import Row
from sdrt.values import Choice, Integer

__all__ = ["GuidanceSchedule", "ScheduledGuidance", "scheduled_scales"]

GuidanceSchedule: TypeAlias = Literal["constant", "linear", "cosine"]

_SCHEDULE = Choice("constant", "linear", "cosine")
_COUNT = Integer(minimum=1, maximum=1_000_000)


@dataclass(frozen=True)
class ScheduledGuidance:
    """Guide each call by a guidance of its own.

    Parameters
    ----------
    guidances : tuple of Guidance
        One for each call, all with the same rows.
    begins : int
        The index of the first of these calls: `Call.index`.
    """

    guidances: tuple[Guidance, ...]
    begins: int = 0

    def __post_init__(self) -> None:
        if len({guidance.rows for guidance in self.guidances}) != 1:
            raise ConfigError("guidances must be at least one, all with the same rows, got none or others; begin a phase where rows change")

    @property
    def rows(self) -> tuple[Row, ...]:
        """Those of each guidance."""
        return self.guidances[0].rows

    @property
    def unet_inputs(self) -> Mapping[str, Array]:
        """Those of the first guidance."""
        return self.guidances[0].unet_inputs

    def __call__(self, predictions: Float, call: Call, /) -> Guided:
        """Guide as this call's guidance does.

        Raises
        ------
        ConfigError : there is none for this call
        """
        place = check_call(call).index - self.begins
        if not 0 <= place < len(self.guidances):
            last = self.begins + len(self.guidances) - 1
            raise ConfigError(f"call.index must be in [{self.begins}, {last}], got {call.index}; make a guidance for each call")
        return self.guidances[place](predictions, call)


def scheduled_scales(schedule: GuidanceSchedule, scale: float, num_steps: int, functions: Functions = PLATFORM) -> tuple[float, ...]:
    """Return the guidance scale of each step, whose mean is ``scale``.

    Parameters
    ----------
    schedule : "constant", "linear" or "cosine"
    scale : float
    num_steps : int
        Steps of the run: of image to image, those that are made.
    functions : Functions
        That cosines are computed with.

    >>> scheduled_scales("linear", 5.0, 4)
    (2.0, 4.0, 6.0, 8.0)
    """
    curve = _SCHEDULE.check("guidance_schedule", schedule)
    weight, count = SCALE.check("guidance_scale", scale) - 1, _COUNT.check("num_steps", num_steps)
    shares = [(k + 0.5) / count for k in range(count)]
    match curve:
        case "linear":
            return tuple(1 + weight * 2 * share for share in shares)
        case "cosine":
            return tuple(1 + weight * (1 - float(functions.cos(pi * share))) for share in shares)
        case _:
            return (scale,) * count
