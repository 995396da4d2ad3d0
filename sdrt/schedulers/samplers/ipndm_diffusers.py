"""What diffusers 0.42.1's IPNDMScheduler does otherwise."""

from dataclasses import dataclass

from sdrt.arrays import Float
from sdrt.schedulers.core.prediction import to_x0
from sdrt.schedulers.core.run import Level
from sdrt.schedulers.samplers.ipndm import IPNDM, IPNDMGrid

__all__ = ["DiffusersIPNDM", "DiffusersIPNDMGrid"]

_LEAST_ALPHA = 1e-8  # by which it divides at a stop without signal


@dataclass(frozen=True, kw_only=True)
class DiffusersIPNDMGrid(IPNDMGrid):
    """The number of steps with ``trained_betas``."""

    def _betas_of(self, n: int, betas: tuple[float, ...]) -> tuple[float, ...]:
        """Make as many steps as the betas have, whatever the request."""
        del n
        return betas


@dataclass(frozen=True, kw_only=True)
class DiffusersIPNDM(IPNDM):
    """The first step."""

    def _first_x0(self, at: Level, x: Float, output: Float, e: Float) -> Float:
        """Divide nothing by next to nothing, and so take the x0 of pure noise to be 0."""
        del output
        return to_x0("epsilon", x, e, max(at.alpha, _LEAST_ALPHA), at.sigma)
