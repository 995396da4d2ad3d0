"""What sdrt draws otherwise today than when a picture of an older format was drawn, and cannot be asked to draw as then."""

from collections.abc import Mapping
from typing import Any

__all__ = ["TOPIC", "drawn_otherwise"]

# With which the topics of these remarks begin.
TOPIC = "drawn otherwise since"

# The classes whose spread noise levels ended where the spacing's timesteps end; the solvers' never did.
_SPREAD = (
    "EulerDiscreteScheduler",
    "HeunDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "LMSDiscreteScheduler",
    "DPMSolverSDEScheduler",
    "DPMPP2SAncestralScheduler",
    "RestartScheduler",
)
_FORMULAS = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas")


def drawn_otherwise(fields: Mapping[str, Any]) -> dict[str, str]:
    """Return remarks on the fields of a record whose format is below 3: a picture that none concerns is drawn again as it was.

    >>> drawn_otherwise({"conditions": {"mask_image": "abc"}})
    {'drawn otherwise since (mask_image)': 'what the mask keeps is now taken from the picture itself, and no longer from the autoencoder'}
    """
    config, conditions, backend = (_mapping(fields, name) for name in ("scheduler_config", "conditions", "backend"))
    name, compat = _text(config, "_class_name"), _text(fields, "compat")
    spread = name == "RestartScheduler" or any(config.get(key) is True for key in _FORMULAS)
    remarks: dict[str, str] = {}
    if not compat and name in _SPREAD and spread and _text(config, "timestep_spacing") != "linspace":
        remarks["scheduler"] = "noise levels are now spread over the whole trained range, and no longer between the spaced timesteps"
    if compat == "apple":
        remarks["compat"] = "prompts are now read as Swift's tokenizer does, and DPM-Solver++ ends as Apple's does"
    if "mask_image" in conditions:
        remarks["mask_image"] = "what the mask keeps is now taken from the picture itself, and no longer from the autoencoder"
    if "text_encoder_2" in backend and not compat and any("!" in _text(fields, each) for each in ("prompt", "negative_prompt")):
        remarks["prompt"] = "the second text encoder now reads '!' as a word, and no longer as filling; compat diffusers reads it as then"
    if "safety_checker" in backend and "safety_checker" not in fields:
        remarks["safety_checker"] = "its record does not say whether the safety checker was on; turn it on if it was"
    return {f"{TOPIC} ({what})": text for what, text in remarks.items()}


def _mapping(fields: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    held = fields.get(name)
    return held if isinstance(held, Mapping) else {}


def _text(fields: Mapping[str, Any], name: str) -> str:
    # nothing is checked yet, and what is no text may refuse to be compared
    held = fields.get(name)
    return held if isinstance(held, str) else ""
