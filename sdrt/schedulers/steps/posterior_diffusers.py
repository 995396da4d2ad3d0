"""The departures of diffusers 0.42.1 where it draws from a posterior."""

from dataclasses import dataclass

import numpy as np

from sdrt.arrays import Array, Float
from sdrt.exact.mathematics import Functions
from sdrt.schedulers.steps.posterior import PosteriorCall, PosteriorVariance

__all__ = ["DiffusersPosteriorVariance"]


@dataclass(frozen=True, kw_only=True)
class DiffusersPosteriorVariance(PosteriorVariance):
    """Draw noise at the end of a run, and take a learned output for the variance itself."""

    def draws(self, timesteps: Array) -> tuple[bool, ...]:
        """Draw wherever the timestep is above 0.

        So a run that ends above 0 adds noise there: of variance 1e-20, of all of beta under ``fixed_large``, or of a learned share of it.
        """
        return tuple((timesteps > 0).tolist())

    def learned_deviation(self, c: PosteriorCall, output: Float, functions: Functions) -> Float:
        """Take the output of ``learned`` to be the variance itself; diffusers gives NaN where it is negative."""
        return np.sqrt(np.maximum(output, 0)) if self.kind == "learned" else super().learned_deviation(c, output, functions)
