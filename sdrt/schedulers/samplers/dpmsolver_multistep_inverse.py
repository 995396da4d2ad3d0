"""DPM-Solver(++) run backwards: from a picture to the noise that leads to it (Lu et al. 2022, arXiv:2211.01095).

The updates between two stops are those of :mod:`sdrt.schedulers.samplers.dpmsolver_multistep`, with steps of negative length h.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from sdrt.schedulers.core.settings import group, setting
from sdrt.schedulers.grids.solver import UNIPC_ONLY
from sdrt.schedulers.grids.solver_inverse import InverseSolverGrid
from sdrt.schedulers.samplers.dpmsolver_multistep import DPMSolverMultistep

__all__ = ["DPMSolverMultistepInverse"]


@dataclass(frozen=True, kw_only=True)
class DPMSolverMultistepInverse(DPMSolverMultistep):
    """The stops of a denoising run from its last to its first, and the same updates between them.

    A run ends at the noisiest timestep. Deterministic alone: where noise grows there is none to draw, and diffusers 0.42.1 gives NaN.
    """

    name: ClassVar[str] = "DPMSolverMultistepInverseScheduler"
    inverse: ClassVar[bool] = True

    grid: InverseSolverGrid = group(
        InverseSolverGrid,
        without=[*UNIPC_ONLY, "final_sigmas_type", "rescale_betas_zero_snr", "time_shift_type", "use_dynamic_shifting", "use_lu_lambdas"],
    )
    algorithm_type: Literal["dpmsolver++", "dpmsolver"] = setting("dpmsolver++", foreign={"deis": "dpmsolver++"})
