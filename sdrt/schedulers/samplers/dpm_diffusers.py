"""What diffusers 0.42.1 does otherwise in the steps of DPM-Solver's family: each class is one defect, named in its docstring."""

from dataclasses import dataclass

from sdrt.arrays import Float
from sdrt.schedulers.core.prediction import to_eps
from sdrt.schedulers.core.run import Scales
from sdrt.schedulers.samplers.deis_multistep import DEISMultistep
from sdrt.schedulers.samplers.dpmsolver_multistep import DPMSolverMultistep
from sdrt.schedulers.samplers.dpmsolver_singlestep import DPMSolverSinglestep
from sdrt.schedulers.samplers.edm_dpmsolver_multistep import EDMDPMSolverMultistep
from sdrt.schedulers.samplers.unipc_multistep import UniPCMultistep
from sdrt.schedulers.steps.corrector import PredictorCorrectorCall
from sdrt.schedulers.steps.dpm_singlestep_update import SinglestepUpdate, singlestep_update
from sdrt.schedulers.steps.dpm_update import Update, multistep_update

__all__ = [
    "DiffusersDEISMultistep",
    "DiffusersDPMSolverMultistep",
    "DiffusersDPMSolverSinglestep",
    "DiffusersEDMDPMSolverMultistep",
    "DiffusersUniPCMultistep",
]

# What stands in the weight of D2 in third order in place of 1/2, where x0 is expanded with fresh noise.
_WRONG_HALF = -0.5


@dataclass(frozen=True, kw_only=True)
class DiffusersDPMSolverMultistep(DPMSolverMultistep):
    """Another sign before the half in the weight of D2: it tends to -alpha with the step's length, where it should tend to 0.

    k-diffusion's ``sample_dpmpp_3m_sde`` is right.
    """

    def _update(self, order: int, i: int, scales: Scales) -> Update:
        half = _WRONG_HALF if self.algorithm_type == "sde-dpmsolver++" else 0.5
        return multistep_update(self.algorithm_type, self.solver_type, order, i, scales, half)


@dataclass(frozen=True, kw_only=True)
class DiffusersDPMSolverSinglestep(DPMSolverSinglestep):
    """The same sign in single steps."""

    def _update(self, order: int, i: int, scales: Scales) -> SinglestepUpdate:
        half = _WRONG_HALF if self.algorithm_type == "sde-dpmsolver++" else 0.5
        return singlestep_update(self.algorithm_type, self.solver_type, order, i, scales, half)


@dataclass(frozen=True, kw_only=True)
class DiffusersDEISMultistep(DEISMultistep):
    """Take the noise of x0, over the ratio for a share of noise: which matters at stops that are not the prediction's own."""

    def _eps(self, c: PredictorCorrectorCall, x: Float, output: Float) -> Float:
        if self.prediction_type not in ("v_prediction", "flow_prediction"):
            return super()._eps(c, x, output)
        x0 = self.output.x0(self.prediction_type, x, output, c.alpha, c.noise_scale)
        return to_eps("sample", x, x0, c.alpha, c.noise_scale)


@dataclass(frozen=True, kw_only=True)
class DiffusersUniPCMultistep(UniPCMultistep):
    """Bound x0 only where it is x0 that is expanded."""

    def _eps(self, c: PredictorCorrectorCall, x: Float, output: Float) -> Float:
        return to_eps(self.prediction_type, x, output, c.alpha, c.sigma)


@dataclass(frozen=True, kw_only=True)
class DiffusersEDMDPMSolverMultistep(EDMDPMSolverMultistep):
    """The same sign between EDM's scalings."""

    def _update(self, order: int, i: int, scales: Scales) -> Update:
        half = _WRONG_HALF if self.algorithm_type == "sde-dpmsolver++" else 0.5
        return multistep_update(self.algorithm_type, self.solver_type, order, i, scales, half)
