"""Where check_noise and ancestral_split were, for samplers that lay out a whole run in arrays: it goes with the last of them."""

import numpy as np

from sdrt.arrays import F64
from sdrt.schedulers.core.settings import check_noise

__all__ = ["ancestral_split", "check_noise"]


def ancestral_split(now: F64, then: F64, eta: float = 1.0) -> tuple[F64, F64]:
    """Return (down, up) with down**2 + up**2 = then**2, as :func:`sdrt.schedulers.samplers.euler_ancestral.ancestral_split` has them."""
    fall = then / now
    share = np.minimum(eta**2 * (1 - fall * fall), 1)
    return then * np.sqrt(1 - share), then * np.sqrt(share)
