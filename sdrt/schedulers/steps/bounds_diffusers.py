"""What diffusers 0.42.1 does otherwise where x0 is bounded."""

from dataclasses import dataclass

import numpy as np

from sdrt.arrays import Float
from sdrt.schedulers.steps.bounds import X0Bound

__all__ = ["DiffusersX0Bound"]

# So small a signal scale that x0, the quotient, is clipped whatever x is, and so large that it stays finite in float32.
_NEXT_TO_NOTHING = 2.0**-64


@dataclass(frozen=True, kw_only=True)
class DiffusersX0Bound(X0Bound):
    """Clipped infinities."""

    def divisors(self, alphas: Float) -> Float:
        """Divide by 0 at a timestep of pure noise and clip the infinities: the sign of x - output is left, as by a scale next to 0."""
        clips = self.clip_sample_range is not None and not self.thresholding
        return np.maximum(alphas, _NEXT_TO_NOTHING) if clips else alphas
