"""Where each sampler lives: a table of names, so that a run imports the one that it draws with."""

import importlib
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sdrt.schedulers.core.sampler import Sampler

__all__ = ["ALIASES", "SAMPLERS", "class_name_of", "sampler_class", "sampler_module"]

# The file in samplers/ and the Python class of each class name: diffusers' own, and one of the same form where diffusers has none.
SAMPLERS: Mapping[str, str] = {
    "DDIMScheduler": "ddim:DDIM",
    "DDIMInverseScheduler": "ddim_inverse:DDIMInverse",
    "DDPMScheduler": "ddpm:DDPM",
    "PNDMScheduler": "pndm:PNDM",
    "IPNDMScheduler": "ipndm:IPNDM",
    "LCMScheduler": "lcm:LCM",
    "TCDScheduler": "tcd:TCD",
    "UnCLIPScheduler": "unclip:UnCLIP",
    "EulerDiscreteScheduler": "euler:Euler",
    "EulerAncestralDiscreteScheduler": "euler_ancestral:EulerAncestral",
    "HeunDiscreteScheduler": "heun:Heun",
    "KDPM2DiscreteScheduler": "kdpm2:KDPM2",
    "KDPM2AncestralDiscreteScheduler": "kdpm2_ancestral:KDPM2Ancestral",
    "LMSDiscreteScheduler": "lms:LMS",
    "DPMSolverSDEScheduler": "dpmsolver_sde:DPMSolverSDE",
    "DPMPP2SAncestralScheduler": "dpmpp_2s_ancestral:DPMPP2SAncestral",
    "RestartScheduler": "restart:Restart",
    "ResMultistepScheduler": "res_multistep:ResMultistep",
    "ResMultistepAncestralScheduler": "res_multistep:ResMultistepAncestral",
    "EulerCFGPPScheduler": "euler_cfgpp:EulerCFGPP",
    "EulerAncestralCFGPPScheduler": "euler_cfgpp:EulerAncestralCFGPP",
    "DPMPP2MCFGPPScheduler": "dpmpp_2m_cfgpp:DPMPP2MCFGPP",
    "DPMSolverMultistepScheduler": "dpmsolver_multistep:DPMSolverMultistep",
    "FlowMatchEulerDiscreteScheduler": "flow_euler:FlowEuler",
    "FlowMatchHeunDiscreteScheduler": "flow_heun:FlowHeun",
    "FlowMatchLCMScheduler": "flow_lcm:FlowLCM",
    "EDMEulerScheduler": "edm_euler:EDMEuler",
    "EDMDPMSolverMultistepScheduler": "edm_dpmsolver_multistep:EDMDPMSolverMultistep",
    "CMStochasticIterativeScheduler": "consistency:ConsistencyModel",
    "DPMSolverMultistepInverseScheduler": "dpmsolver_multistep_inverse:DPMSolverMultistepInverse",
    "DPMSolverSinglestepScheduler": "dpmsolver_singlestep:DPMSolverSinglestep",
    "DEISMultistepScheduler": "deis_multistep:DEISMultistep",
    "UniPCMultistepScheduler": "unipc_multistep:UniPCMultistep",
    "SASolverScheduler": "sa_solver:SASolver",
}

# Further classes of diffusers whose step is the same: they can also step many timesteps at once, for pipelines that solve in parallel.
ALIASES: Mapping[str, str] = {"DDIMParallelScheduler": "DDIMScheduler", "DDPMParallelScheduler": "DDPMScheduler"}

_CLASS_NAMES = {path.partition(":")[2]: class_name for class_name, path in SAMPLERS.items()}


@cache
def sampler_class(class_name: str) -> "type[Sampler]":
    """Return the sampler that answers to a class name of `SAMPLERS` or `ALIASES`; its file is imported now.

    Raises
    ------
    KeyError : none does

    >>> sampler_class("DDIMParallelScheduler").name
    'DDIMScheduler'
    """
    module, _, name = SAMPLERS[ALIASES.get(class_name, class_name)].partition(":")
    cls: type[Sampler] = getattr(importlib.import_module(f"sdrt.schedulers.samplers.{module}"), name)
    return cls


def class_name_of(sampler: str) -> str:
    """Return the class name to which a Python class answers.

    >>> class_name_of("Euler")
    'EulerDiscreteScheduler'
    """
    return _CLASS_NAMES[sampler]


def sampler_module(sampler: str) -> str | None:
    """Return the module of a Python class below ``sdrt.schedulers``, or None if there is no such sampler.

    >>> sampler_module("Euler")
    'samplers.euler'
    """
    class_name = _CLASS_NAMES.get(sampler)
    return None if class_name is None else f"samplers.{SAMPLERS[class_name].partition(':')[0]}"
