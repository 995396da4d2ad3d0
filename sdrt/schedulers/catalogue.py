"""Where each sampler lives: a table of names, so that a run imports the one that it draws with."""

import importlib
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sdrt.schedulers.core.sampler import Sampler

__all__ = ["ALIASES", "CLASS_NAMES", "MODULES", "all_samplers", "sampler_class"]

# The class name that each sampler answers to: diffusers' own, and one of the same form where diffusers has none.
CLASS_NAMES: Mapping[str, str] = {
    "DDIM": "DDIMScheduler",
    "DDIMInverse": "DDIMInverseScheduler",
    "DDPM": "DDPMScheduler",
    "PNDM": "PNDMScheduler",
    "IPNDM": "IPNDMScheduler",
    "LCM": "LCMScheduler",
    "TCD": "TCDScheduler",
    "UnCLIP": "UnCLIPScheduler",
    "Euler": "EulerDiscreteScheduler",
    "EulerAncestral": "EulerAncestralDiscreteScheduler",
    "Heun": "HeunDiscreteScheduler",
    "KDPM2": "KDPM2DiscreteScheduler",
    "KDPM2Ancestral": "KDPM2AncestralDiscreteScheduler",
    "LMS": "LMSDiscreteScheduler",
    "DPMSolverSDE": "DPMSolverSDEScheduler",
    "DPMPP2SAncestral": "DPMPP2SAncestralScheduler",
    "Restart": "RestartScheduler",
    "ResMultistep": "ResMultistepScheduler",
    "ResMultistepAncestral": "ResMultistepAncestralScheduler",
    "EulerCFGPP": "EulerCFGPPScheduler",
    "EulerAncestralCFGPP": "EulerAncestralCFGPPScheduler",
    "DPMPP2MCFGPP": "DPMPP2MCFGPPScheduler",
    "DPMSolverMultistep": "DPMSolverMultistepScheduler",
    "FlowEuler": "FlowMatchEulerDiscreteScheduler",
    "FlowHeun": "FlowMatchHeunDiscreteScheduler",
    "FlowLCM": "FlowMatchLCMScheduler",
    "EDMEuler": "EDMEulerScheduler",
    "EDMDPMSolverMultistep": "EDMDPMSolverMultistepScheduler",
    "ConsistencyModel": "CMStochasticIterativeScheduler",
    "DPMSolverMultistepInverse": "DPMSolverMultistepInverseScheduler",
    "DPMSolverSinglestep": "DPMSolverSinglestepScheduler",
    "DEISMultistep": "DEISMultistepScheduler",
    "UniPCMultistep": "UniPCMultistepScheduler",
    "SASolver": "SASolverScheduler",
}

# Further classes of diffusers whose step is the same: they can also step many timesteps at once, for pipelines that solve in parallel.
ALIASES: Mapping[str, str] = {"DDIMParallelScheduler": "DDIM", "DDPMParallelScheduler": "DDPM"}

# The file in samplers/ of each Python class.
MODULES: Mapping[str, str] = {
    "DDIM": "ddim",
    "DDIMInverse": "ddim_inverse",
    "DDPM": "ddpm",
    "PNDM": "pndm",
    "IPNDM": "ipndm",
    "LCM": "lcm",
    "TCD": "tcd",
    "UnCLIP": "unclip",
    "Euler": "euler",
    "EulerAncestral": "euler_ancestral",
    "Heun": "heun",
    "KDPM2": "kdpm2",
    "KDPM2Ancestral": "kdpm2_ancestral",
    "LMS": "lms",
    "DPMSolverSDE": "dpmsolver_sde",
    "DPMPP2SAncestral": "dpmpp_2s_ancestral",
    "Restart": "restart",
    "ResMultistep": "res_multistep",
    "ResMultistepAncestral": "res_multistep",
    "EulerCFGPP": "euler_cfgpp",
    "EulerAncestralCFGPP": "euler_cfgpp",
    "DPMPP2MCFGPP": "dpmpp_2m_cfgpp",
    "DPMSolverMultistep": "dpmsolver_multistep",
    "FlowEuler": "flow_euler",
    "FlowHeun": "flow_heun",
    "FlowLCM": "flow_lcm",
    "EDMEuler": "edm_euler",
    "EDMDPMSolverMultistep": "edm_dpmsolver_multistep",
    "ConsistencyModel": "consistency",
    "DPMSolverMultistepInverse": "dpmsolver_multistep_inverse",
    "DPMSolverSinglestep": "dpmsolver_singlestep",
    "DEISMultistep": "deis_multistep",
    "UniPCMultistep": "unipc_multistep",
    "SASolver": "sa_solver",
}


_BY_CLASS_NAME = {class_name: name for name, class_name in CLASS_NAMES.items()} | dict(ALIASES)


@cache
def sampler_class(class_name: str) -> "type[Sampler]":
    """The sampler that answers to a class name of `CLASS_NAMES` or `ALIASES`; its file is imported now.

    Raises
    ------
    KeyError : none does

    >>> sampler_class("DDIMParallelScheduler").name
    'DDIMScheduler'
    """
    name = _BY_CLASS_NAME[class_name]
    found: type[Sampler] = getattr(importlib.import_module(f"sdrt.schedulers.samplers.{MODULES[name]}"), name)
    return found


def all_samplers() -> "tuple[type[Sampler], ...]":
    """Every sampler, in the order of the table; imports them all."""
    return tuple(map(sampler_class, CLASS_NAMES.values()))
