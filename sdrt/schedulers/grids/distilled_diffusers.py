"""What diffusers 0.42.1 does otherwise where distilled models draw."""

from dataclasses import dataclass

from sdrt.schedulers.core.run import Request
from sdrt.schedulers.grids.distilled import DistilledGrid

__all__ = ["DiffusersDistilledGrid"]


@dataclass(frozen=True, kw_only=True)
class DiffusersDistilledGrid(DistilledGrid):
    """Noise at the end of a run whose timesteps strength cut off."""

    def draws(self, request: Request, calls: int) -> tuple[bool, ...]:
        """Count a caller's timesteps that strength cuts off too, and so draw at the last of the others."""
        return tuple(i != request.n - 1 for i in range(calls))
