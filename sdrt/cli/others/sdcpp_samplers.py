"""stable-diffusion.cpp's sampling methods and schedules, by sdrt's names.

Source: leejet/stable-diffusion.cpp in May 2026, ``src/stable-diffusion.cpp`` (names and defaults), ``src/denoiser.hpp`` (what they do), and
the names of its later versions.
"""

import math

from sdrt.errors import ConfigError
from sdrt.log import log
from sdrt.printable import shown

__all__ = ["METHODS", "SCHEDULES", "eta", "scheduler_name", "strength"]

METHODS = {
    "euler": "euler",
    "euler_a": "euler a",
    "heun": "heun",
    "dpm2": "dpm2",
    "dpm++2s_a": "dpm++ 2s a",
    "dpm++2m": "dpm++ 2m",
    "lcm": "lcm",
    "ddim_trailing": "ddim trailing",
    "tcd": "tcd",
    "res_multistep": "res_multistep",
    "lms": "lms",
    "dpm++2m_sde": "dpm++ 2m sde",
    "euler_cfg_pp": "euler_cfg_pp",
    "euler_a_cfg_pp": "euler_ancestral_cfg_pp",
}
_METHODS_TO_COME = ("dpm++2mv2", "ipndm", "ipndm_v", "res_2s", "er_sde", "euler_ge", "dpm++2m_sde_bt")

# The endings of sdrt's names.
SCHEDULES = {"discrete": "normal", "karras": "karras", "exponential": "exponential", "ays": "ays", "sgm_uniform": "sgm uniform"}
_SCHEDULES_TO_COME = ("gits", "smoothstep", "simple", "kl_optimal", "lcm", "bong_tangent", "beta")

# Methods whose noise levels are their own, and what the program calls those levels.
_OWN_SCHEDULES = {"lcm": "lcm", "tcd": "lcm", "ddim_trailing": "simple"}

# How much fresh noise the methods draw that take an eta.
_ETAS = {"euler_a": 1.0, "dpm++2s_a": 1.0, "ddim_trailing": 0.0, "tcd": 0.0, "res_multistep": 0.0}


def scheduler_name(method: str, schedule: str | None, *, is_xl: bool) -> str:
    """Return sdrt's name of a method with a schedule.

    Parameters
    ----------
    method : str
    schedule : str or None
        None: the method's own.
    is_xl : bool
        Whether the model is SDXL, which has noise levels of its own for ``ays``.

    Raises
    ------
    ConfigError : one that is not here, or a schedule beside a method that has its own

    >>> scheduler_name("dpm++2m", "karras", is_xl=False)
    'dpm++ 2m karras'
    """
    if method not in METHODS:
        raise ConfigError(_unknown("--sampling-method", method, tuple(METHODS), _METHODS_TO_COME))
    own = _OWN_SCHEDULES.get(method)
    if own is not None:
        if schedule not in (None, own):
            raise ConfigError(f"--scheduler must be {own} for {method}, got {shown(schedule)}; leave it out")
        return METHODS[method]
    schedule = "discrete" if schedule is None else schedule
    if schedule not in SCHEDULES:
        raise ConfigError(_unknown("--scheduler", schedule, tuple(SCHEDULES), _SCHEDULES_TO_COME))
    return f"{METHODS[method]} {SCHEDULES[schedule]}{' sdxl' if schedule == 'ays' and is_xl else ''}"


def eta(method: str, given: float | None) -> float | None:
    """Return the eta of a method, None where it takes none."""
    if method in _ETAS:
        return _ETAS[method] if given is None else given
    if given is not None:
        log.warning("--eta has no effect: %s draws no noise by it", method)
    return None


def strength(share: float, steps: int) -> float:
    """Return sdrt's strength for the program's, which makes one step more than that share of them, but for 1.

    >>> strength(0.75, 20)
    0.8
    """
    if share >= 1 or steps < 1:
        return 1.0
    import numpy as np

    made = min(int(np.float32(steps) * np.float32(share)), steps - 1) + 1
    part = made / steps
    return part if int(steps * part) == made else math.nextafter(part, 1)


def _unknown(flag: str, name: str, known: tuple[str, ...], to_come: tuple[str, ...]) -> str:
    which = f"{name}, which sdrt does not have" if name in to_come else shown(name)
    return f"{flag} must be one of {', '.join(known)}, got {which}; choose one of those"
