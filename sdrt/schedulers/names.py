"""The names of samplers in diffusers and other tools, and the meaning of each.

A name stands for diffusers' ``Class.from_config(the model's configuration)`` plus the settings that the name adds.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sdrt.arrays import Numerics
from sdrt.errors import ConfigError
from sdrt.limits import DEFAULT_LIMITS, Limits
from sdrt.printable import shown
from sdrt.schedulers.catalogue import class_name_of, sampler_class
from sdrt.schedulers.config import sampler_from_config
from sdrt.schedulers.core.sampler import Sampler
from sdrt.schedulers.core.settings import Compat
from sdrt.schedulers.grids.sigmas import SIGMA_FLAGS
from sdrt.values import Anything, MappingOf, Text

__all__ = ["ENDINGS", "SamplerName", "name_of", "names", "sampler_from_name"]

_NAME = Text(length=200, empty=False)
_CONFIG = MappingOf(Anything())


@dataclass(frozen=True, kw_only=True)
class SamplerName:
    """A row of the table."""

    name: str
    class_name: str  # the diffusers class
    order: int  # of convergence, as measured, in the variance where noise is drawn; 0: a distilled model's jumps have none
    stochastic: bool  # whether fresh noise is drawn at every step
    about: str  # one line
    says: Mapping[str, Any] = field(default_factory=dict)  # what the name adds to the model's configuration
    aliases: tuple[str, ...] = ()

    @property
    def calls_per_step(self) -> int:
        """Network calls; the repeats at the start of PLMS come on top."""
        return sampler_class(self.class_name).calls_per_step


def _row(name: str, sampler: str, order: int, about: str, *aliases: str, stochastic: bool = False, **says: Any) -> SamplerName:
    return SamplerName(
        name=name,
        class_name=class_name_of(sampler),
        order=order,
        stochastic=stochastic,
        about=about,
        says=says,
        aliases=aliases,
    )


_DPM = "DPMSolverMultistep"
_EDM_DPM = "EDMDPMSolverMultistep"
_2ND: dict[str, Any] = {"algorithm_type": "dpmsolver++", "solver_order": 2}
_3RD: dict[str, Any] = _2ND | {"solver_order": 3}
_2ND_SDE: dict[str, Any] = {"algorithm_type": "sde-dpmsolver++", "solver_order": 2, "stochastic": True}
_3RD_SDE: dict[str, Any] = _2ND_SDE | {"solver_order": 3}
_NOISE_2ND: dict[str, Any] = {"algorithm_type": "dpmsolver", "solver_order": 2, "final_sigmas_type": "sigma_min"}
_UNCLIP: dict[str, Any] = {"beta_schedule": "squaredcos_cap_v2", "stochastic": True}
_SA: dict[str, Any] = {"algorithm_type": "data_prediction", "stochastic": True}
_KARRAS: dict[str, Any] = {"use_karras_sigmas": True}

_DPM2A = ("dpm 2 a", "dpm2 ancestral", "dpm 2 ancestral", "k dpm 2 ancestral")
_FLOW_HEUN = ("flow match heun", "flow match heun discrete")
_2SA = ("dpm++ 2s ancestral", "dpm++2s a")

# Any name may take an ending, which chooses the noise levels of a run ("euler karras", "heun sgm uniform"): AUTOMATIC1111, ComfyUI and
# stable-diffusion.cpp call it a schedule or scheduler. These endings choose a kind of sigmas.
_ENDING_KINDS: dict[str, str] = {
    "karras": "karras",
    "exponential": "exponential",
    "beta": "beta",
    "lu": "lu",
    "ays": "ays",
    "ays sdxl": "ays sdxl",
    "align your steps": "ays",
}
# These choose a spacing of timesteps.
_ENDING_SPACINGS: dict[str, str] = {"sgm uniform": "trailing", "normal": "linspace", "ddim uniform": "leading"}

_FLAGS = frozenset(SIGMA_FLAGS.values())
ENDINGS: tuple[str, ...] = (*_ENDING_KINDS, *_ENDING_SPACINGS)

_ROWS = (
    _row("ddim", "DDIM", 1, "the classic: deterministic, with eta a share of fresh noise", "DDIMParallelScheduler"),
    _row("ddim trailing", "DDIM", 1, "DDIM from the last timestep on, as distilled and zero-SNR models ask", timestep_spacing="trailing"),
    _row("ddim inverse", "DDIMInverse", 1, "from a picture to the noise that DDIM turns into it"),
    _row("ddpm", "DDPM", 1, "the original: fresh noise at every step, for many steps", "DDPMParallelScheduler", stochastic=True),
    _row("pndm", "PNDM", 2, "what Stable Diffusion 1.x shipped with; Runge-Kutta start unless the model's configuration skips it"),
    _row("plms", "PNDM", 2, "PNDM without the Runge-Kutta start: one call more than steps", skip_prk_steps=True),
    _row("iplms", "IPNDM", 2, "PLMS over a schedule of its own, for v-diffusion's velocity models alone"),
    _row("lcm", "LCM", 0, "latent consistency models: 2 to 8 steps of a distilled model", stochastic=True),
    _row("tcd", "TCD", 0, "trajectory consistency models: 2 to 8 steps, eta sets the share of fresh noise", stochastic=True),
    _row("unclip", "UnCLIP", 1, "DDPM over the cosine schedule, for unCLIP's parts", "UnCLIPScheduler", **_UNCLIP),
    _row("euler", "Euler", 1, "one plain step a call: quick and predictable", "euler discrete"),
    _row("euler karras", "Euler", 1, "Euler with more of its steps at low noise", use_karras_sigmas=True),
    _row("euler a", "EulerAncestral", 1, "Euler with fresh noise at every step: varied, never settles", "euler ancestral", stochastic=True),
    _row("heun", "Heun", 2, "Euler, corrected by a second call a step: half the steps for the same work"),
    _row("heun karras", "Heun", 2, "the same with more steps at low noise", use_karras_sigmas=True),
    _row("dpm2", "KDPM2", 2, "the midpoint method: a second call a step, in its middle", "dpm 2", "k dpm 2"),
    _row("dpm2 karras", "KDPM2", 2, "the same with more steps at low noise", use_karras_sigmas=True),
    _row("dpm2 a", "KDPM2Ancestral", 2, "the midpoint method with fresh noise at every step", *_DPM2A, stochastic=True),
    _row("dpm2 a karras", "KDPM2Ancestral", 2, "the same with more steps at low noise", stochastic=True, use_karras_sigmas=True),
    _row("lms", "LMS", 4, "a linear multistep method: smooth at 50 steps and more, rough below 20", "lms discrete"),
    _row("lms karras", "LMS", 4, "the same with more steps at low noise", use_karras_sigmas=True),
    _row("dpm++ sde", "DPMSolverSDE", 2, "DPM-Solver++ in two calls with Brownian noise: much detail in few steps", stochastic=True),
    _row("dpm++ sde karras", "DPMSolverSDE", 2, "the same with more steps at low noise", stochastic=True, use_karras_sigmas=True),
    _row("dpm++ 2s a", "DPMPP2SAncestral", 2, "DPM-Solver++ in two calls with fresh noise at every step", *_2SA, stochastic=True),
    _row("dpm++ 2s a karras", "DPMPP2SAncestral", 2, "the same with more steps at low noise", stochastic=True, use_karras_sigmas=True),
    _row("restart", "Restart", 2, "Heun that goes back to higher noise now and then, from 20 steps on: contracts errors", stochastic=True),
    _row("res_multistep", "ResMultistep", 2, "exponential multistep: as DPM-Solver++ 2M, with its exact weights", "res multistep"),
    _row("res_multistep_ancestral", "ResMultistepAncestral", 2, "the same with fresh noise at every step", stochastic=True),
    _row("euler_cfg_pp", "EulerCFGPP", 1, "CFG++: guidance scales from 0 to 1, closer to the data at each step"),
    _row("euler_ancestral_cfg_pp", "EulerAncestralCFGPP", 1, "CFG++ with fresh noise at every step", "euler a cfg++", stochastic=True),
    _row("dpmpp_2m_cfg_pp", "DPMPP2MCFGPP", 2, "CFG++ with DPM-Solver++ 2M steps"),
    _row("dpmsolver++", _DPM, 2, "DPM-Solver++ multistep as the model's configuration has it: few steps", "dpm solver multistep", "dpm++"),
    _row("dpm++ 2m", _DPM, 2, "DPM-Solver++ of second order: a good default at 20 to 30 steps", **_2ND),
    _row("dpm++ 2m karras", _DPM, 2, "the same with more steps at low noise", **_2ND, **_KARRAS),
    _row("dpm++ 3m", _DPM, 2, "DPM-Solver++ with third differences: smaller errors than 2m, no higher order", **_3RD),
    _row("dpm++ 3m karras", _DPM, 2, "the same with more steps at low noise", **_3RD, **_KARRAS),
    _row("dpm++ 2m sde", _DPM, 2, "the same as 2m with fresh noise: more detail, never settles", "dpm++ 2m sde gpu", **_2ND_SDE),
    _row("dpm++ 2m sde karras", _DPM, 2, "the same with more steps at low noise", **_2ND_SDE, **_KARRAS),
    _row("dpm++ 2m sde heun", _DPM, 2, "another form of its second-order term", solver_type="heun", **_2ND_SDE),
    _row("dpm++ 3m sde", _DPM, 3, "the same with third differences: for 30 steps and more", "dpm++ 3m sde gpu", **_3RD_SDE),
    _row("dpm++ 3m sde karras", _DPM, 3, "the same with more steps at low noise", **_3RD_SDE, **_KARRAS),
    _row("dpm 2m", _DPM, 2, "DPM-Solver, which expands the noise", **_NOISE_2ND),
    _row("flow euler", "FlowEuler", 1, "Euler for flow models (Stable Diffusion 3, FLUX)", "flow match euler", "flow match euler discrete"),
    _row("flow heun", "FlowHeun", 2, "Heun for flow models: two calls a step, smaller errors", *_FLOW_HEUN),
    _row("flow lcm", "FlowLCM", 1, "for flow models distilled to a few steps, fresh noise at each", "flow match lcm", stochastic=True),
    _row("edm euler", "EDMEuler", 1, "Euler for models with EDM's scalings (Playground 2.5, CosXL)"),
    _row("edm dpm++ 2m", _EDM_DPM, 2, "DPM-Solver++ of second order for models with EDM's scalings", **_2ND),
    _row("edm dpm++ 3m", _EDM_DPM, 2, "the same with third differences: smaller errors, no higher order", **_3RD),
    _row("edm dpm++ 2m sde", _EDM_DPM, 1, "the same of second order with fresh noise at every step", **_2ND_SDE),
    _row("cm", "ConsistencyModel", 1, "for consistency models: 1 to 4 steps", "consistency", "consistency models", stochastic=True),
    _row("dpmsolver++ inverse", "DPMSolverMultistepInverse", 2, "DPM-Solver++ from a picture to its noise, for editing"),
    _row("dpmsolver++ singlestep", "DPMSolverSinglestep", 2, "DPM-Solver++ that starts anew every other call", "dpm solver singlestep"),
    _row("dpm++ 2s", "DPMSolverSinglestep", 2, "the same, of second order", **_2ND),
    _row("dpm++ 3s", "DPMSolverSinglestep", 3, "three calls a step: for unguided runs", **_3RD),
    _row("deis", "DEISMultistep", 2, "exponential Adams steps over the noise: smooth at 10 to 20 steps", "deis multistep"),
    _row("unipc", "UniPCMultistep", 3, "predicts and corrects without further calls: 5 to 15 steps", "uni_pc", "unipc multistep"),
    _row("unipc bh1", "UniPCMultistep", 3, "UniPC with B(h) = h: for few steps without guidance", "uni_pc_bh1", solver_type="bh1"),
    _row("unipc bh2", "UniPCMultistep", 3, "UniPC with B(h) = exp(h) - 1: for guided runs", "uni_pc_bh2", solver_type="bh2"),
    _row("sa-solver", "SASolver", 2, "Adams with fresh noise in the middle of the run: 20 steps and more", "sa_solver", **_SA),
)


def names() -> tuple[SamplerName, ...]:
    """Return the table, one row a name."""
    return _ROWS


def sampler_from_name(
    name: str,
    model_config: Mapping[str, Any],
    numerics: Numerics = "float32",
    compat: Compat = None,
    *,
    from_file: bool | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Sampler:
    """Build the sampler of a name for a model.

    Parameters
    ----------
    name : str
        A name of the table, or a diffusers class name, with or without its "Scheduler", and with an ending or two ("heun karras", "lms sgm
        uniform") where the class can choose its noise levels so; case, spaces, hyphens and underscores do not matter, ``pp`` is ``++``.
    model_config : mapping
        The model's own scheduler configuration, of whatever class.
    numerics, compat, from_file, limits
        As :func:`sampler_from_config` takes them.

    Raises
    ------
    ConfigError : an unknown name (the message lists all), or a configuration that cannot be used

    >>> sampler_from_name("DPM++ 2M Karras", {"_class_name": "PNDMScheduler", "beta_schedule": "scaled_linear"}).plan(4).timesteps
    array([999, 776, 259,   0])
    """
    name = _NAME.check("a sampler's name", name, "choose one that sdrt.schedulers.names() lists")
    model_config = _CONFIG.check("model_config", model_config, "pass the content of a scheduler_config.json")
    row, says = _resolve(name, _key(name))
    config = {**model_config, **says, "_class_name": row.class_name}
    return sampler_from_config(config, numerics, compat, from_file=from_file, limits=limits)


def name_of(sampler: Sampler, model_config: Mapping[str, Any]) -> str:
    """Return the one name of a sampler for a model, however it was chosen: what is recorded.

    The row of its class that says most, of those that say what its settings are; with the ending of its sigmas, and with that of its
    spacing if the model's configuration leads to another. A class that has no row is named as it is.

    Parameters
    ----------
    model_config : mapping
        The model's own scheduler configuration.

    >>> name_of(sampler_from_name("DPM++ 2M Karras", {"_class_name": "PNDMScheduler"}), {"_class_name": "PNDMScheduler"})
    'dpm++ 2m karras'
    """
    config = sampler.config
    rows = [row for row in _ROWS if row.class_name == config["_class_name"] and not _FLAGS & row.says.keys()]
    fitting = [row for row in rows if all(config.get(key) == value for key, value in row.says.items())]
    if not fitting:
        return str(config["_class_name"])
    row = max(fitting, key=lambda row: len(row.says))  # the first of equals
    spacing, own_spacing = config.get("timestep_spacing"), row.says.get("timestep_spacing", _own_spacing(type(sampler), model_config))
    spaced = "" if spacing in (None, own_spacing) else next(name for name, kind in _ENDING_SPACINGS.items() if kind == spacing)
    endings = (_sigma_ending(config), spaced)
    return " ".join((row.name, *filter(None, endings)))


def _sigma_ending(config: Mapping[str, Any]) -> str:
    """Return the ending that says how a configuration spreads its sigmas; none where it does not."""
    if spacing := config.get("sigma_spacing"):
        return str(spacing)
    kind, value = next(((kind, config[flag]) for kind, flag in SIGMA_FLAGS.items() if config.get(flag)), ("", None))
    return f"{kind} {value}" if isinstance(value, str) and value != "sd" else kind


def _own_spacing(cls: type[Sampler], model_config: Mapping[str, Any]) -> Any:
    """Return the spacing that a class has with a model's configuration."""
    defaulted = model_config.get("_use_default_values") or ()
    default = cls.keys.get("timestep_spacing")
    return default if "timestep_spacing" in defaulted else model_config.get("timestep_spacing", default)


def _resolve(name: str, key: str) -> tuple[SamplerName, dict[str, Any]]:
    """Return the row of a name, and its settings: endings override the row, and a later ending overrides the earlier ones."""
    if (row := _BY_KEY.get(key)) is not None:
        return row, dict(row.says)
    if (parts := _split_ending(key)) is None:
        raise ConfigError(
            f"a sampler's name must be one of {', '.join(r.name for r in _ROWS)}, with or without an ending ({', '.join(ENDINGS)}), "
            f"got {shown(name)}; choose one of those"
        )
    row, says = _resolve(name, parts[0])
    return row, says | _ending_settings(parts[1], row.class_name, sampler_class(row.class_name).keys)


def _split_ending(key: str) -> tuple[str, str] | None:
    """Split a name, without spaces, into what stands before and the ending that it has; None if it has none."""
    for ending in sorted(ENDINGS, key=len, reverse=True):
        if key.endswith(flat := ending.replace(" ", "")) and key != flat:
            return key.removesuffix(flat), ending
    return None


def _ending_settings(ending: str, class_name: str, keys: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of an ending for a class with these keys.

    Raises
    ------
    ConfigError : a class whose stops cannot be chosen so
    """
    if ending in _ENDING_SPACINGS and "timestep_spacing" in keys:
        return {"timestep_spacing": _ENDING_SPACINGS[ending]}
    kind, _, table = _ENDING_KINDS.get(ending, "").partition(" ")
    if "sigma_spacing" in keys and kind not in ("", "lu"):
        return {"sigma_spacing": _ENDING_KINDS[ending]}
    if kind and (own := SIGMA_FLAGS[kind]) in keys:
        # One flag at a time may be set: the name overrules the model's configuration.
        cleared = {flag: False for flag in SIGMA_FLAGS.values() if flag in keys}
        return cleared | {own: table or ("sd" if kind == "ays" else True)}
    raise ConfigError(f"{class_name} does not choose its noise levels by {ending!r}; leave that ending out of the name")


def _key(name: str) -> str:
    return re.sub(r"[\s_-]", "", name.lower()).replace("+", "p")


def _index() -> dict[str, SamplerName]:
    """Return the rows by every spelling; a class name leads to the first row of its class that adds nothing, or else to its first."""
    classes = [(spelling, row) for row in _ROWS for spelling in (row.class_name, row.class_name.removesuffix("Scheduler"))]
    plain = [(spelling, row) for spelling, row in classes if not row.says]
    spelt = [(spelling, row) for row in _ROWS for spelling in (row.name, *row.aliases)]
    # of equal keys the last one counts
    return {_key(spelling): row for spelling, row in classes[::-1] + plain[::-1] + spelt}


_BY_KEY = _index()
