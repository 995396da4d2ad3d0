"""The endings that any sampler's name may take: how the noise levels of a run are chosen ("euler karras", "heun sgm uniform")."""

from collections.abc import Mapping
from typing import Any

from sdrt.errors import ConfigError
from sdrt.schedulers.grids.sigmas import SIGMA_FLAGS

__all__ = ["ENDINGS", "ending_settings", "split_ending"]

# What AUTOMATIC1111, ComfyUI and stable-diffusion.cpp call a schedule or scheduler: an ending, and the kind of sigmas that it asks for.
_KINDS: dict[str, str] = {
    "karras": "karras",
    "exponential": "exponential",
    "beta": "beta",
    "lu": "lu",
    "ays": "ays",
    "ays sdxl": "ays sdxl",
    "align your steps": "ays",
}
# Others choose where the timesteps lie.
_SPACINGS: dict[str, str] = {"sgm uniform": "trailing", "normal": "linspace", "ddim uniform": "leading"}

ENDINGS: tuple[str, ...] = (*_KINDS, *_SPACINGS)


def split_ending(key: str) -> tuple[str, str] | None:
    """Split a name, without spaces, into what stands before and the ending that it has; None if it has none."""
    for ending in sorted(ENDINGS, key=len, reverse=True):
        if key.endswith(flat := ending.replace(" ", "")) and key != flat:
            return key.removesuffix(flat), ending
    return None


def ending_settings(ending: str, class_name: str, keys: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an ending says to a class with these keys.

    Raises
    ------
    ConfigError : a class whose stops cannot be chosen so
    """
    if ending in _SPACINGS and "timestep_spacing" in keys:
        return {"timestep_spacing": _SPACINGS[ending]}
    kind, _, table = _KINDS.get(ending, "").partition(" ")
    if "sigma_spacing" in keys and kind not in ("", "lu"):
        return {"sigma_spacing": _KINDS[ending]}
    if kind and (own := SIGMA_FLAGS[kind]) in keys:
        # One flag at a time may be set: the name overrules the model's configuration.
        cleared = {flag: False for flag in SIGMA_FLAGS.values() if flag in keys}
        return cleared | {own: table or ("sd" if kind == "ays" else True)}
    raise ConfigError(f"{class_name} does not choose its noise levels by {ending!r}; leave that ending out of the name")
