"""The departures of diffusers 0.42.1 where x0 is bounded."""

from dataclasses import dataclass

import numpy as np

from sdrt.arrays import Float
from sdrt.schedulers.steps.bounds import X0Bound

__all__ = ["DiffusersX0Bound"]

# A signal scale so small that the quotient x0 is always clipped, but large enough for it to stay finite in float32.
_NEXT_TO_NOTHING = 2.0**-64


@dataclass(frozen=True, kw_only=True)
class DiffusersX0Bound(X0Bound):
    """Clip the infinities at a timestep of pure noise."""

    def divisors(self, alphas: Float) -> Float:
        """Return a scale next to 0 instead of 0: diffusers divides by 0 and clips the infinities, which leaves the sign of x - output."""
        clips = self.clip_sample_range is not None and not self.thresholding
        return np.maximum(alphas, _NEXT_TO_NOTHING) if clips else alphas
