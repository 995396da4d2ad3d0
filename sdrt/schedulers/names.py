"""The names under which people ask for samplers, and what each one means.

A name stands for diffusers' ``Class.from_config(the model's configuration)`` plus what the name itself says.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sdrt.errors import ConfigError
from sdrt.schedulers.base import Sampler
from sdrt.schedulers.compat import Compat
from sdrt.schedulers.config import sampler_from_config
from sdrt.schedulers.noise_schedule import Numerics
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

__all__ = ["SamplerName", "names", "sampler_from_name"]


@dataclass(frozen=True, kw_only=True)
class SamplerName:
    """A row of the table."""

    name: str
    class_name: str  # the diffusers class
    order: int  # of convergence, as measured
    stochastic: bool  # whether fresh noise is drawn at every step
    calls_per_step: int  # network calls; the repeats at the start of PLMS come on top
    about: str  # one line
    says: Mapping[str, Any] = field(default_factory=dict)  # what the name adds to the model's configuration
    aliases: tuple[str, ...] = ()


def _row(name: str, sampler: type[Sampler], order: int, about: str, *aliases: str, stochastic: bool = False, **says: Any) -> SamplerName:
    return SamplerName(
        name=name,
        class_name=sampler.name,
        order=order,
        stochastic=stochastic,
        calls_per_step=sampler.calls_per_step,
        about=about,
        says=says,
        aliases=aliases,
    )


_DPM = DPMSolverMultistep
_PLUS: dict[str, Any] = {"algorithm_type": "dpmsolver++"}
_SDE: dict[str, Any] = {"algorithm_type": "sde-dpmsolver++"}

_ROWS = (
    _row("ddim", DDIM, 1, "the classic: deterministic, with eta a share of fresh noise"),
    _row("pndm", PNDM, 2, "what Stable Diffusion 1.x shipped with; Runge-Kutta start unless the model's configuration skips it"),
    _row("plms", PNDM, 2, "PNDM without the Runge-Kutta start: one call more than steps", skip_prk_steps=True),
    _row("euler", Euler, 1, "one plain step a call: quick and predictable", "euler discrete"),
    _row("euler karras", Euler, 1, "Euler with more of its steps at low noise", use_karras_sigmas=True),
    _row("euler a", EulerAncestral, 1, "Euler with fresh noise at every step: varied, never settles", "euler ancestral", stochastic=True),
    _row("dpmsolver++", _DPM, 2, "DPM-Solver++ multistep as the model's configuration has it: few steps", "dpm solver multistep"),
    _row("dpm++ 2m", _DPM, 2, "DPM-Solver++ of second order: a good default at 20 to 30 steps", solver_order=2, **_PLUS),
    _row("dpm++ 2m karras", _DPM, 2, "the same with more steps at low noise", solver_order=2, use_karras_sigmas=True, **_PLUS),
    _row("dpm++ 3m", _DPM, 2, "DPM-Solver++ with third differences: smaller errors than 2m, no higher order", solver_order=3, **_PLUS),
    _row("dpm++ 3m karras", _DPM, 2, "the same with more steps at low noise", solver_order=3, use_karras_sigmas=True, **_PLUS),
    _row(
        "dpm++ 2m sde",
        _DPM,
        2,
        "the same as 2m with fresh noise: more detail, never settles",
        "dpm++ 2m sde gpu",
        stochastic=True,
        solver_order=2,
        **_SDE,
    ),
    _row(
        "dpm++ 2m sde karras",
        _DPM,
        2,
        "the same with more steps at low noise",
        stochastic=True,
        solver_order=2,
        use_karras_sigmas=True,
        **_SDE,
    ),
    _row(
        "dpm++ 2m sde heun", _DPM, 2, "another form of its second-order term", stochastic=True, solver_order=2, solver_type="heun", **_SDE
    ),
    _row(
        "dpm++ 3m sde",
        _DPM,
        3,
        "the same with third differences: for 30 steps and more",
        "dpm++ 3m sde gpu",
        stochastic=True,
        solver_order=3,
        **_SDE,
    ),
    _row(
        "dpm++ 3m sde karras",
        _DPM,
        3,
        "the same with more steps at low noise",
        stochastic=True,
        solver_order=3,
        use_karras_sigmas=True,
        **_SDE,
    ),
    _row(
        "dpm 2m", _DPM, 2, "DPM-Solver, which expands the noise", solver_order=2, algorithm_type="dpmsolver", final_sigmas_type="sigma_min"
    ),
    _row("dpmsolver++ inverse", DPMSolverMultistepInverse, 2, "DPM-Solver++ from a picture to its noise, for editing"),
    _row("dpmsolver++ singlestep", DPMSolverSinglestep, 2, "DPM-Solver++ that starts anew every other call", "dpm solver singlestep"),
    _row("dpm++ 2s", DPMSolverSinglestep, 2, "the same, of second order", solver_order=2, **_PLUS),
    _row("dpm++ 3s", DPMSolverSinglestep, 2, "three calls a step: for unguided runs", solver_order=3, **_PLUS),
    _row("deis", DEISMultistep, 2, "exponential Adams steps over the noise: smooth at 10 to 20 steps", "deis multistep"),
    _row("unipc", UniPCMultistep, 3, "predicts and corrects without further calls: 5 to 15 steps", "uni_pc", "unipc multistep"),
    _row("unipc bh1", UniPCMultistep, 3, "UniPC with B(h) = h: for few steps without guidance", "uni_pc_bh1", solver_type="bh1"),
    _row("unipc bh2", UniPCMultistep, 3, "UniPC with B(h) = exp(h) - 1: for guided runs", "uni_pc_bh2", solver_type="bh2"),
    _row("sa-solver", SASolver, 2, "Adams with fresh noise in the middle of the run: 20 steps and more", "sa_solver", stochastic=True),
)


def names() -> tuple[SamplerName, ...]:
    """Return the table, one row a name."""
    return _ROWS


def sampler_from_name(name: str, model_config: Mapping[str, Any], numerics: Numerics = "float32", compat: Compat = None) -> Sampler:
    """Build the sampler of a name for a model.

    Parameters
    ----------
    name : str
        A name of the table, or a diffusers class name; case, spaces, hyphens and underscores do not matter, ``pp`` is ``++``.
    model_config : mapping
        The model's own scheduler configuration, of whatever class.
    numerics : {"float32", "float64"}
    compat : {"diffusers", "apple"} or None

    Raises
    ------
    ConfigError : an unknown name (the message lists all), or a configuration that cannot be used

    >>> sampler_from_name("DPM++ 2M Karras", {"_class_name": "PNDMScheduler", "beta_schedule": "scaled_linear"}).plan(4).timesteps
    array([999, 776, 259,   0])
    """
    row = _BY_KEY.get(_key(name))
    if row is None:
        raise ConfigError(f"no sampler is named {name!r}; choose one of {', '.join(r.name for r in _ROWS)}")
    return sampler_from_config({**model_config, **row.says, "_class_name": row.class_name}, numerics, compat)


def _key(name: str) -> str:
    return re.sub(r"[\s_-]", "", name.lower()).replace("+", "p")


def _index() -> dict[str, SamplerName]:
    """Return the rows by every spelling; a class name leads to the first row of its class that adds nothing."""
    plain = [(row.class_name, row) for row in _ROWS if not row.says]
    spelt = [(spelling, row) for row in _ROWS for spelling in (row.name, *row.aliases)]
    return {_key(spelling): row for spelling, row in plain + spelt}


_BY_KEY = _index()
