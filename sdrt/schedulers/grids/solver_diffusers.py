"""What diffusers 0.42.1 does otherwise where DPM-Solver's family chooses stops: each override is one defect, named in its docstring."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sdrt.arrays import F64, Array
from sdrt.exact.sequences import arange
from sdrt.schedulers.core.prediction import Prediction
from sdrt.schedulers.core.run import Request
from sdrt.schedulers.grids.ratio import ratio_to_timestep, schedule_ratios
from sdrt.schedulers.grids.solver import SolverGrid
from sdrt.schedulers.grids.solver_inverse import InverseSolverGrid

__all__ = ["DiffusersInverseSolverGrid", "DiffusersSolverGrid"]


@dataclass(frozen=True, kw_only=True)
class DiffusersSolverGrid(SolverGrid):
    """Stops with steps of no length, cut timesteps, and levels that are not the prediction's own."""

    def check_prediction(self, prediction: Prediction) -> None:
        """Take any prediction at any stops."""

    def noise_scale(self, prediction: Prediction, alpha: float, sigma: float) -> float:
        """Take the ratio at a noise schedule's stop for the share of noise that a flow_prediction belongs to."""
        return sigma / alpha if prediction == "flow_prediction" and not self.is_flow else sigma

    def _place(self, request: Request, usable: int) -> npt.NDArray[np.int64]:
        """Go down from the last usable timestep by an n-th of all T, where spacing is trailing.

        Where lambda_min_clipped leaves fewer than T, a run so has fewer calls than steps. It also has one more, at timestep -1, for some n.
        """
        if self.spacing.kind != "trailing":
            return super()._place(request, usable)
        return np.round(arange(usable, 0, -self.num_train_timesteps / request.n)).astype(np.int64) - 1

    def _noisiest(self) -> int:
        """Begin a formula at the last trained timestep, whatever lambda_min_clipped says."""
        return -1

    def _spread_to_the_end(self, first: float, last: float, n: int) -> F64:
        """Take the last of n ratios again, for a last step of no length (mended in DPM-Solver alone, by diffusers' PR 6477)."""
        ratios = self.sigma_spacing.spread(first, last, n, self.functions)
        return np.append(ratios, ratios[-1])

    def _ratios_to_timesteps(self, ratios: F64) -> F64:
        """Find timestep 997.5 for the ratio that stands for infinity (rescale_betas_zero_snr), since it is below those before it."""
        return ratio_to_timestep(ratios, schedule_ratios(self.schedule, self.numerics), self.functions)

    def round_formula(self, timesteps: F64) -> npt.NDArray[np.int64]:
        """Cut fractions off, except those of karras and lu sigmas; in DPM-Solver multistep of those too for the cosine schedule."""
        cosine = self.cuts_cosine and self.schedule.beta_schedule == "squaredcos_cap_v2"
        if self.sigma_spacing.kind in ("karras", "lu", "ays") and not cosine:
            return super().round_formula(timesteps)
        return np.trunc(timesteps).astype(np.int64)

    def flow_timesteps(self, levels: F64) -> Array:
        """Cut the fraction off, up to 1 / T of a level."""
        return super().flow_timesteps(levels).astype(np.int64)

    def _flow_shift(self, mu: float | None) -> float:
        """Take ``flow_shift`` for a dynamic shift without mu; UniPC raises there, and takes a mu that means nothing."""
        if self.flow_from_one:
            return self.flow.shift(mu if self.flow.use_dynamic_shifting else None, self.functions)
        return self.flow.flow_shift if mu is None else self.flow.shift(mu, self.functions)

    def _flow_end(self, levels: F64, shift: float) -> float:  # noqa: ARG002
        """End at the smallest ratio of the noise schedule, which a flow lacks, in DPM-Solver; take the last level again in others."""
        return float(schedule_ratios(self.schedule, self.numerics)[0]) if self.ends_at_trained else float(levels[-1])


@dataclass(frozen=True, kw_only=True)
class DiffusersInverseSolverGrid(InverseSolverGrid):
    """Inverse runs that do not begin with the picture, or do not rise."""

    def _trailing(self, usable: int, n: int) -> npt.NDArray[np.int64]:
        """Call the network at the noisiest timestep too, for a step of no length, and take the picture for one at the first."""
        return np.round(arange(usable, 0, -self.num_train_timesteps / n))[::-1].astype(np.int64) - 1

    def _formula_stops(self, n: int) -> tuple[npt.NDArray[np.int64], F64]:
        """Take n ratios and the last of them again, for a step of no length.

        Where two timesteps are equal there are fewer calls, whose ratios then no longer belong to them.
        """
        trained, spacing = schedule_ratios(self.falling.schedule, self.falling.numerics), self.falling.sigma_spacing
        ratios = spacing.spread(float(trained[0]), float(trained[-1]), n, self.functions)
        fractional = ratio_to_timestep(ratios, trained, self.functions)
        kept: F64 = np.unique(np.round(fractional) if spacing.kind == "karras" else fractional)
        return self.falling.round_formula(kept), np.append(ratios, ratios[-1])[: len(kept) + 1]

    def _rising(self, levels: F64, lowest: float) -> F64:  # noqa: ARG002
        """Let a flow fall, as if to denoise, and repeat its last level."""
        return np.append(levels, levels[-1])
