"""Samplers: frozen settings, immutable plans, explicit states, pure steps; and one class with the habits of diffusers over all of them.

>>> sampler = sampler_from_name("dpm++ 2m", {"_class_name": "PNDMScheduler", "beta_schedule": "scaled_linear"})
>>> sampler.plan(4).timesteps
array([999, 749, 500, 250])
"""

import importlib
from typing import TYPE_CHECKING, Any

from sdrt.schedulers.catalogue import sampler_module
from sdrt.schedulers.config import class_names, remarks_of, sampler_from_config
from sdrt.schedulers.core.run import Plan, State
from sdrt.schedulers.core.sampler import Grid, Sampler
from sdrt.schedulers.core.settings import Compat
from sdrt.schedulers.face import DiffusersScheduler, StepOutput
from sdrt.schedulers.face_building import from_config, make
from sdrt.schedulers.grids.noise_schedule import NoiseSchedule
from sdrt.schedulers.grids.sigmas import SigmaSpacing
from sdrt.schedulers.names import SamplerName, name_of, names, sampler_from_name

if TYPE_CHECKING:
    from sdrt.schedulers.grids.consistency import ConsistencyGrid
    from sdrt.schedulers.grids.distilled import DistilledGrid
    from sdrt.schedulers.grids.edm import EDMGrid
    from sdrt.schedulers.grids.euler import EulerGrid
    from sdrt.schedulers.grids.flow import FlowGrid
    from sdrt.schedulers.grids.midpoint import MidpointGrid
    from sdrt.schedulers.grids.ratio import NamedRatioGrid, RatioGrid
    from sdrt.schedulers.grids.solver import SolverGrid
    from sdrt.schedulers.grids.solver_flow import SolverFlow
    from sdrt.schedulers.grids.solver_inverse import InverseSolverGrid
    from sdrt.schedulers.grids.timestep_table import TimestepGrid
    from sdrt.schedulers.grids.timesteps import TimestepSpacing
    from sdrt.schedulers.samplers.consistency import ConsistencyModel
    from sdrt.schedulers.samplers.ddim import DDIM
    from sdrt.schedulers.samplers.ddim_inverse import DDIMInverse
    from sdrt.schedulers.samplers.ddpm import DDPM
    from sdrt.schedulers.samplers.deis_multistep import DEISMultistep
    from sdrt.schedulers.samplers.dpmpp_2m_cfgpp import DPMPP2MCFGPP
    from sdrt.schedulers.samplers.dpmpp_2s_ancestral import DPMPP2SAncestral
    from sdrt.schedulers.samplers.dpmsolver_multistep import DPMSolverMultistep
    from sdrt.schedulers.samplers.dpmsolver_multistep_inverse import DPMSolverMultistepInverse
    from sdrt.schedulers.samplers.dpmsolver_sde import DPMSolverSDE
    from sdrt.schedulers.samplers.dpmsolver_singlestep import DPMSolverSinglestep
    from sdrt.schedulers.samplers.edm_dpmsolver_multistep import EDMDPMSolverMultistep
    from sdrt.schedulers.samplers.edm_euler import EDMEuler
    from sdrt.schedulers.samplers.euler import Euler
    from sdrt.schedulers.samplers.euler_ancestral import EulerAncestral
    from sdrt.schedulers.samplers.euler_cfgpp import EulerAncestralCFGPP, EulerCFGPP
    from sdrt.schedulers.samplers.flow_euler import FlowEuler
    from sdrt.schedulers.samplers.flow_heun import FlowHeun
    from sdrt.schedulers.samplers.flow_lcm import FlowLCM
    from sdrt.schedulers.samplers.heun import Heun
    from sdrt.schedulers.samplers.ipndm import IPNDM, IPNDMGrid
    from sdrt.schedulers.samplers.kdpm2 import KDPM2
    from sdrt.schedulers.samplers.kdpm2_ancestral import KDPM2Ancestral
    from sdrt.schedulers.samplers.lcm import LCM
    from sdrt.schedulers.samplers.lms import LMS
    from sdrt.schedulers.samplers.pndm import PNDM
    from sdrt.schedulers.samplers.res_multistep import ResMultistep, ResMultistepAncestral
    from sdrt.schedulers.samplers.restart import Restart, RestartInterval
    from sdrt.schedulers.samplers.sa_solver import SASolver
    from sdrt.schedulers.samplers.tcd import TCD
    from sdrt.schedulers.samplers.unclip import UnCLIP
    from sdrt.schedulers.samplers.unipc_multistep import UniPCMultistep
    from sdrt.schedulers.steps.bounds import X0Bound
    from sdrt.schedulers.steps.churn import Churn
    from sdrt.schedulers.steps.posterior import PosteriorVariance
    from sdrt.schedulers.steps.solver_output import SolverOutput

__all__ = [
    "DDIM",
    "DDPM",
    "DPMPP2MCFGPP",
    "IPNDM",
    "KDPM2",
    "LCM",
    "LMS",
    "PNDM",
    "TCD",
    "Churn",
    "Compat",
    "ConsistencyGrid",
    "ConsistencyModel",
    "DDIMInverse",
    "DEISMultistep",
    "DPMPP2SAncestral",
    "DPMSolverMultistep",
    "DPMSolverMultistepInverse",
    "DPMSolverSDE",
    "DPMSolverSinglestep",
    "DiffusersScheduler",
    "DistilledGrid",
    "EDMDPMSolverMultistep",
    "EDMEuler",
    "EDMGrid",
    "Euler",
    "EulerAncestral",
    "EulerAncestralCFGPP",
    "EulerCFGPP",
    "EulerGrid",
    "FlowEuler",
    "FlowGrid",
    "FlowHeun",
    "FlowLCM",
    "Grid",
    "Heun",
    "IPNDMGrid",
    "InverseSolverGrid",
    "KDPM2Ancestral",
    "MidpointGrid",
    "NamedRatioGrid",
    "NoiseSchedule",
    "Plan",
    "PosteriorVariance",
    "RatioGrid",
    "ResMultistep",
    "ResMultistepAncestral",
    "Restart",
    "RestartInterval",
    "SASolver",
    "Sampler",
    "SamplerName",
    "SigmaSpacing",
    "SolverFlow",
    "SolverGrid",
    "SolverOutput",
    "State",
    "StepOutput",
    "TimestepGrid",
    "TimestepSpacing",
    "UnCLIP",
    "UniPCMultistep",
    "X0Bound",
    "class_names",
    "from_config",
    "make",
    "name_of",
    "names",
    "remarks_of",
    "sampler_from_config",
    "sampler_from_name",
]

# The parts that samplers are built of, by file.
_PARTS = {
    "Churn": "steps.churn",
    "ConsistencyGrid": "grids.consistency",
    "DistilledGrid": "grids.distilled",
    "EDMGrid": "grids.edm",
    "EulerGrid": "grids.euler",
    "FlowGrid": "grids.flow",
    "IPNDMGrid": "samplers.ipndm",
    "InverseSolverGrid": "grids.solver_inverse",
    "MidpointGrid": "grids.midpoint",
    "NamedRatioGrid": "grids.ratio",
    "PosteriorVariance": "steps.posterior",
    "RatioGrid": "grids.ratio",
    "RestartInterval": "samplers.restart",
    "SolverFlow": "grids.solver_flow",
    "SolverGrid": "grids.solver",
    "SolverOutput": "steps.solver_output",
    "TimestepGrid": "grids.timestep_table",
    "TimestepSpacing": "grids.timesteps",
    "X0Bound": "steps.bounds",
}


def __getattr__(name: str) -> Any:
    if (module := sampler_module(name) or _PARTS.get(name)) is None:
        raise AttributeError(f"module 'sdrt.schedulers' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"sdrt.schedulers.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
