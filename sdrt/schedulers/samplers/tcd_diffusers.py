"""What diffusers 0.42.1's TCDScheduler does otherwise."""

from dataclasses import dataclass

from sdrt.arrays import Float
from sdrt.schedulers.core.sampler import Sampler
from sdrt.schedulers.samplers.tcd import TCD

__all__ = ["DiffusersTCD"]


@dataclass(frozen=True, kw_only=True)
class DiffusersTCD(TCD):
    """Bounds of x0 that are settings, and that nothing looks at."""

    _advance = Sampler._advance

    def predicted_x0(self, x: Float, output: Float, alpha: float, sigma: float) -> Float:
        """Return the clean sample that an output amounts to, without its bound."""
        return self.unbounded_x0(x, output, alpha, sigma)
