"""What diffusers 0.42.1's EDMEulerScheduler does otherwise."""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from sdrt.schedulers.core.run import Plan, Request
from sdrt.schedulers.samplers.edm_euler import EDMEuler
from sdrt.schedulers.steps.linear import LinearStep

__all__ = ["DiffusersEDMEuler"]


@dataclass(frozen=True, kw_only=True)
class DiffusersEDMEuler(EDMEuler):
    """Late churn, and a last step of no length."""

    def _plan(self, request: Request) -> Plan:
        """Add a step's noise after the network was called, so that it moves with the sample; end a ``sigma_min`` run where it stands."""
        sigmas = self.grid.sigmas(request)
        if self.grid.final_sigma == "sigma_min":
            sigmas = np.append(sigmas[:-1], sigmas[-2:-1])
        gammas = self.churn.gammas(sigmas, request.n)
        stops = self.grid.levels(sigmas)
        steps = []
        for (stop, stop_next), raised in zip(pairwise(stops), (sigmas[:-1] * (1 + gammas)).tolist(), strict=True):
            kept = stop_next.sigma / raised
            step = LinearStep(x=kept, x0=1 - kept).fold_x0(*self.x0_weights(1.0, raised), stop)
            fresh = step.x * self.churn.s_noise * math.sqrt(self.functions.square(raised) - self.functions.square(stop.sigma))
            steps.append(step._replace(noise=fresh))
        return self._scaled_plan(stops, steps, tuple((gammas > 0).tolist()), raised=1.0)
