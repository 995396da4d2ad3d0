"""From diffusers' ``scheduler_config.json`` to a frozen sampler.

Every value is honoured or refused: a key that a class does not have is left out, as diffusers does when one class is built from another's
configuration; a value that is not built here raises, and so does a key that no diffusers scheduler has.
"""

from collections.abc import Mapping
from typing import Any

from sdrt.errors import ConfigError
from sdrt.schedulers.base import Sampler
from sdrt.schedulers.compat import COMPATS, Compat
from sdrt.schedulers.noise_schedule import Numerics
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
from sdrt.schedulers.samplers.restart import Restart
from sdrt.schedulers.samplers.sa_solver import SASolver
from sdrt.schedulers.samplers.tcd import TCD
from sdrt.schedulers.samplers.unclip import UnCLIP
from sdrt.schedulers.samplers.unipc_multistep import UniPCMultistep

__all__ = ["class_names", "sampler_class", "sampler_from_config"]

_SAMPLERS: tuple[type[Sampler], ...] = (
    DDIM,
    DDIMInverse,
    DDPM,
    PNDM,
    IPNDM,
    LCM,
    TCD,
    UnCLIP,
    Euler,
    EulerAncestral,
    Heun,
    KDPM2,
    KDPM2Ancestral,
    LMS,
    DPMSolverSDE,
    DPMPP2SAncestral,
    Restart,
    ResMultistep,
    ResMultistepAncestral,
    EulerCFGPP,
    EulerAncestralCFGPP,
    DPMPP2MCFGPP,
    DPMSolverMultistep,
    FlowEuler,
    FlowHeun,
    FlowLCM,
    EDMEuler,
    EDMDPMSolverMultistep,
    ConsistencyModel,
    DPMSolverMultistepInverse,
    DPMSolverSinglestep,
    DEISMultistep,
    UniPCMultistep,
    SASolver,
)
# Further classes of diffusers whose step is the same: they can also step many timesteps at once, for pipelines that solve in parallel.
_ALIASES: dict[str, type[Sampler]] = {"DDIMParallelScheduler": DDIM, "DDPMParallelScheduler": DDPM}

_BY_NAME: dict[str, type[Sampler]] = {sampler.name: sampler for sampler in _SAMPLERS} | _ALIASES

# Values that are built, for keys of which a class does not say otherwise.
_COMMON_CHOICES: dict[str, tuple[Any, ...]] = {
    "beta_schedule": ("linear", "scaled_linear", "squaredcos_cap_v2"),
    "prediction_type": ("epsilon", "v_prediction", "sample"),
    "timestep_spacing": ("linspace", "leading", "trailing"),
}

# Keys of diffusers' other scheduler classes, which a configuration may carry along.
# fmt: off
_OTHER_KEYS = frozenset((
    "base_image_seq_len", "base_shift", "clip_denoised", "corrector_order", "disable_corrector", "eta", "gamma", "invert_sigmas",
    "max_image_seq_len", "max_shift", "noise_sampler_seed", "num_inference_steps", "original_inference_steps", "predict_x0",
    "predictor_order", "rho", "s_churn", "s_max", "s_min", "s_noise", "shift", "shift_terminal", "sigma_data", "sigma_schedule",
    "snr_shift_scale", "solver_p", "stochastic_sampling", "tau_func", "tensor_format", "timestep_scaling", "use_ays_sigmas",
))
# fmt: on


def class_names() -> tuple[str, ...]:
    """Return the class names that are built, sorted: diffusers' own, and of the same form where diffusers has none."""
    return tuple(sorted(sampler.name for sampler in _SAMPLERS))


def sampler_class(name: str) -> type[Sampler]:
    """Return the sampler that answers to a class name of :func:`class_names`."""
    return _BY_NAME[name]


def sampler_from_config(config: Mapping[str, Any], numerics: Numerics = "float32", compat: Compat = None) -> Sampler:
    """Build the sampler of a diffusers configuration.

    Parameters
    ----------
    config : mapping
        The content of ``scheduler_config.json``, ``_class_name`` included. Keys that it lacks take that class's defaults.
    numerics : {"float32", "float64"}
        How tables and scalars are computed: by PyTorch's float32 recipe, or purely in float64. The samples' dtype is their own.
    compat : {"diffusers", "apple"} or None
        Whose defects to reproduce: see :mod:`sdrt.schedulers.compat`.

    Raises
    ------
    ConfigError : no class, one that is not built, a key that no scheduler has, or a value that is not built

    >>> sampler_from_config({"_class_name": "DDIMScheduler", "clip_sample": False}).plan(4).timesteps
    array([750, 500, 250,   0])
    """
    if numerics not in ("float32", "float64"):
        raise ConfigError(f"numerics must be float32 or float64, got {numerics!r}")
    if compat is not None and compat not in COMPATS:
        raise ConfigError(f"compat must be {' or '.join(COMPATS)}, got {compat!r}; leave it out for what is right")
    name = config.get("_class_name")
    if name not in _BY_NAME:
        raise ConfigError(f"_class_name must name a scheduler that is built: {', '.join(class_names())}; got {name!r}")
    sampler = _BY_NAME[name]
    values = {**sampler.keys, **_given(config, sampler)}
    for key, choices in {**_COMMON_CHOICES, **sampler.choices}.items():
        if key in values and values[key] not in choices and not (values[key] is None and False in choices):
            raise ConfigError(f"{name} takes {key} {' or '.join(map(repr, choices))} here, got {values[key]!r}; change the configuration")
    return sampler.read(values, numerics, compat)


def _given(config: Mapping[str, Any], sampler: type[Sampler]) -> dict[str, Any]:
    """Return what a configuration says to this class; values that another class merely had by default say nothing."""
    known = _OTHER_KEYS.union(*(each.keys for each in _SAMPLERS))
    public = [key for key in config if not key.startswith("_")]
    if unknown := [key for key in public if key not in known]:
        raise ConfigError(f"no scheduler has {', '.join(unknown)}; {config['_class_name']} has {', '.join(sorted(sampler.keys))}")
    defaulted = config.get("_use_default_values", ())
    return {key: config[key] for key in public if key in sampler.keys and key not in defaulted}
