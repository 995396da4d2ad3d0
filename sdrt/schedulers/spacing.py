"""Which timesteps a run visits, for samplers that carry the settings of their spacing themselves: it goes with the last of them."""

from sdrt.arrays import F64
from sdrt.schedulers.core.run import Request
from sdrt.schedulers.core.settings import Compat, variant
from sdrt.schedulers.grids.timesteps import Spacing, TimestepSpacing
from sdrt.schedulers.grids.timesteps import check_timesteps as given
from sdrt.schedulers.grids.timesteps import round_timesteps as rounded

__all__ = ["Spacing", "given", "place", "rounded"]


def place(spacing: Spacing, num_train_timesteps: int, n: int, steps_offset: int = 0, spare: int = 0, compat: Compat = None) -> F64:
    """Place n timesteps, descending: see :class:`TimestepSpacing`."""
    made: TimestepSpacing = variant(TimestepSpacing, "diffusers" if compat == "diffusers" else None)(
        kind=spacing, steps_offset=steps_offset
    )
    return made.timesteps(Request(n=n), num_train_timesteps, spare)
