"""The safety checker of Stable Diffusion 1.x: CLIP's vision tower and the concepts that it compares pictures with."""

from collections.abc import Mapping
from typing import Any

from sdrt.arrays import Signature, TensorSpec
from sdrt.models.components.record import Component, PackageNames

__all__ = ["SAFETY_CHECKER"]

# Of CLIPVisionConfig in transformers 5.23.
_TOWER: Mapping[str, Any] = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "projection_dim": 512,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "num_channels": 3,
    "image_size": 224,
    "patch_size": 32,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
}

# The numbers of concepts, fixed by its class in diffusers.
_CONCEPTS, _SPECIAL_CONCEPTS = 17, 3


def _complete(config: Mapping[str, Any]) -> dict[str, Any]:
    # transformers lets the older of the two keys win
    tower = {**_TOWER, **(config.get("vision_config") or {}), **(config.get("vision_config_dict") or {})}
    return {"projection_dim": 512, **config, "vision_config": tower}


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
    complete=_complete,
    contract=_contract,
    canonical_name=_canonical_name,
    roots=("vision_model.", "visual_projection.", "concept_embeds", "special_care_embeds"),
)
