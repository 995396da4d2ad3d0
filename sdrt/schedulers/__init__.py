"""Samplers: frozen settings, immutable plans, explicit states, pure steps; and one class with the habits of diffusers over all of them.

>>> sampler = sampler_from_name("dpm++ 2m", {"_class_name": "PNDMScheduler", "beta_schedule": "scaled_linear"})
>>> sampler.plan(4).timesteps
array([999, 749, 500, 250])
"""

import importlib
from typing import TYPE_CHECKING, Any

from sdrt.schedulers.catalogue import sampler_module
from sdrt.schedulers.config import class_names, sampler_from_config
from sdrt.schedulers.core.run import Plan, State
from sdrt.schedulers.core.sampler import Sampler
from sdrt.schedulers.core.settings import Compat
from sdrt.schedulers.face import DiffusersScheduler, StepOutput, from_config, make
from sdrt.schedulers.grids.noise_schedule import NoiseSchedule
from sdrt.schedulers.grids.sigmas import SigmaSpacing
from sdrt.schedulers.names import SamplerName, names, sampler_from_name

if TYPE_CHECKING:
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
    from sdrt.schedulers.samplers.ipndm import IPNDM
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
    "Compat",
    "ConsistencyModel",
    "DDIMInverse",
    "DEISMultistep",
    "DPMPP2SAncestral",
    "DPMSolverMultistep",
    "DPMSolverMultistepInverse",
    "DPMSolverSDE",
    "DPMSolverSinglestep",
    "DiffusersScheduler",
    "EDMDPMSolverMultistep",
    "EDMEuler",
    "Euler",
    "EulerAncestral",
    "EulerAncestralCFGPP",
    "EulerCFGPP",
    "FlowEuler",
    "FlowHeun",
    "FlowLCM",
    "Heun",
    "KDPM2Ancestral",
    "NoiseSchedule",
    "Plan",
    "ResMultistep",
    "ResMultistepAncestral",
    "Restart",
    "RestartInterval",
    "SASolver",
    "Sampler",
    "SamplerName",
    "SigmaSpacing",
    "State",
    "StepOutput",
    "UnCLIP",
    "UniPCMultistep",
    "class_names",
    "from_config",
    "make",
    "names",
    "sampler_from_config",
    "sampler_from_name",
]

# What the files of samplers have beside their samplers, by file.
_FURTHER_EXPORTS = {"RestartInterval": "restart"}


def __getattr__(name: str) -> Any:
    if (module := sampler_module(name) or _FURTHER_EXPORTS.get(name)) is None:
        raise AttributeError(f"module 'sdrt.schedulers' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"sdrt.schedulers.samplers.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
