"""The safety checker of Stable Diffusion 1.x: CLIP's vision tower and the concepts that it compares pictures with."""

from collections.abc import Mapping
from typing import Any

from sdrt.arrays import Signature, TensorSpec
from sdrt.limits import Limits
from sdrt.models.components.image_encoder import complete_tower
from sdrt.models.components.keys import COUNT, Key, read_keys
from sdrt.models.components.record import Component, PackageNames
from sdrt.values import Anything, MappingOf, Nullable

__all__ = ["SAFETY_CHECKER"]

# transformers lets the older of the two names of the tower win
_VISION = ("vision_config", "vision_config_dict")
_KEYS: Mapping[str, Key] = {"projection_dim": Key(COUNT, 512), **dict.fromkeys(_VISION, Key(Nullable(MappingOf(Anything()))))}

# The numbers of concepts, fixed by its class in diffusers.
_CONCEPTS, _SPECIAL_CONCEPTS = 17, 3


def _complete(config: Mapping[str, Any], where: str, limits: Limits) -> dict[str, Any]:
    values = read_keys(_KEYS, config, where)
    given: dict[str, Any] = {}
    for name in _VISION:
        given |= values.get(name) or {}
    return {**values, "vision_config": complete_tower(given, f"{where}: vision_config", limits)}


def _contract(config: Mapping[str, Any], dtype: str) -> Signature:
    size, channels = config["vision_config"]["image_size"], config["vision_config"]["num_channels"]
    return Signature(
        inputs=(TensorSpec("clip_input", dtype, (None, channels, size, size)),),
        outputs=(
            TensorSpec("concept_scores", dtype, (None, _CONCEPTS)),
            TensorSpec("special_scores", dtype, (None, _SPECIAL_CONCEPTS)),
        ),
    )


def _canonical_name(stored: str) -> str:
    """Collapse the two ``vision_model.`` prefixes of transformers 4 into one."""
    return stored.replace("vision_model.vision_model.", "vision_model.", 1)


SAFETY_CHECKER = Component(
    name="safety_checker",
    folder="safety_checker",
    packages=(PackageNames(role="safety_checker", suffix="safety_checker", resources=("SafetyChecker",)),),
    classes=("StableDiffusionSafetyChecker",),
    keys=_complete,
    contract=_contract,
    canonical_name=_canonical_name,
    roots=("vision_model.", "visual_projection.", "concept_embeds", "special_care_embeds"),
)
