"""Samplers: frozen settings, immutable plans, explicit states, pure steps; and one class with the habits of diffusers over all of them.

>>> sampler = sampler_from_name("dpm++ 2m", {"_class_name": "PNDMScheduler", "beta_schedule": "scaled_linear"})
>>> sampler.plan(4).timesteps
array([999, 749, 500, 250])
"""

from sdrt.schedulers.base import Sampler
from sdrt.schedulers.compat import Compat
from sdrt.schedulers.config import class_names, sampler_from_config
from sdrt.schedulers.face import DiffusersScheduler, StepOutput, from_config, make
from sdrt.schedulers.names import SamplerName, names, sampler_from_name
from sdrt.schedulers.noise_schedule import NoiseSchedule
from sdrt.schedulers.plan import Plan
from sdrt.schedulers.samplers.ddim import DDIM
from sdrt.schedulers.samplers.deis_multistep import DEISMultistep
from sdrt.schedulers.samplers.dpmsolver_multistep import DPMSolverMultistep
from sdrt.schedulers.samplers.dpmsolver_multistep_inverse import DPMSolverMultistepInverse
from sdrt.schedulers.samplers.dpmsolver_singlestep import DPMSolverSinglestep
from sdrt.schedulers.samplers.euler import Euler
from sdrt.schedulers.samplers.euler_ancestral import EulerAncestral
from sdrt.schedulers.samplers.pndm import PNDM
from sdrt.schedulers.samplers.sa_solver import SASolver
from sdrt.schedulers.samplers.unipc_multistep import UniPCMultistep
from sdrt.schedulers.sigmas import SigmaSpacing
from sdrt.schedulers.state import State

__all__ = [
    "DDIM",
    "PNDM",
    "Compat",
    "DEISMultistep",
    "DPMSolverMultistep",
    "DPMSolverMultistepInverse",
    "DPMSolverSinglestep",
    "DiffusersScheduler",
    "Euler",
    "EulerAncestral",
    "NoiseSchedule",
    "Plan",
    "SASolver",
    "Sampler",
    "SamplerName",
    "SigmaSpacing",
    "State",
    "StepOutput",
    "UniPCMultistep",
    "class_names",
    "from_config",
    "make",
    "names",
    "sampler_from_config",
    "sampler_from_name",
]
