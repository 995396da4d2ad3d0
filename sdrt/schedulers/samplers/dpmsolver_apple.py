"""DPM-Solver++ as Apple's Swift package ml-stable-diffusion 1.1.1 has it, for those who compare pictures with it.

Beside its stops (:mod:`sdrt.schedulers.grids.solver_apple`) it differs in the order of the last steps of short runs, and in what its
pipeline decodes: the x0 that the last call predicts, and not the sample at timestep 0 to which the last step leads. In Karras runs of 45
steps and more two stops can be one, and a difference over them is 0 / 0 in its formulas; here the order is lowered there.

Source: apple/ml-stable-diffusion@e12202c, ``DPMSolverMultistepScheduler.swift``.
"""

from dataclasses import dataclass, replace

import numpy as np

from sdrt.errors import ConfigError
from sdrt.schedulers.core.run import Plan, Request, Scales
from sdrt.schedulers.grids.solver import SolverGrid
from sdrt.schedulers.samplers.dpmsolver_multistep import DPMSolverMultistep
from sdrt.schedulers.steps.dpm_update import FEW_STEPS, Update

__all__ = ["AppleDPMSolverMultistep"]


@dataclass(frozen=True, kw_only=True)
class AppleDPMSolverMultistep(DPMSolverMultistep):
    """The settings that Apple's scheduler has, its orders, and the x0 that the last call predicts for the result.

    Raises
    ------
    ConfigError : another setting
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        assert isinstance(self.grid, SolverGrid)  # noqa: S101  # its variant of Apple's
        kind, spacing = self.grid.sigma_spacing.kind, self.grid.spacing.kind
        has = (
            (self.solver_order, self.algorithm_type, self.solver_type) == (2, "dpmsolver++", "midpoint")
            and (kind == "karras" or (kind == "interpolated" and spacing in ("linspace", "leading")))
            and self.prediction_type == "epsilon"
            and not (self.grid.is_flow or self.output.bound or self.doubled_output)
        )
        if not has:
            raise ConfigError(
                "compat apple is for dpmsolver++ of order 2, midpoint, over noise predictions, with linspace or leading spacing or karras "
                f"sigmas; got {self.algorithm_type} of order {self.solver_order}, {self.solver_type}, {self.prediction_type}, "
                f"{spacing}, {kind}; leave compat out"
            )

    def _plan(self, request: Request) -> Plan:
        plan = super()._plan(request)
        *calls, last = plan.coefficients
        decoded = replace(last, updates=(Update(sample=0.0, first=1.0),))
        alphas, sigmas = np.append(plan.alphas[:-1], 1.0), np.append(plan.sigmas[:-1], 0.0)
        return replace(plan, coefficients=(*calls, decoded), alphas=alphas, sigmas=sigmas)

    def _highest_order(self, i: int, n: int, scales: Scales) -> int:
        """Return the first order in the last two steps of a short run, where diffusers has it in one."""
        possible = min(2, scales.num_differences(i) + 1)
        return 1 if i >= n - 2 and n < FEW_STEPS else possible
