"""The contract of each component against the configurations of the models that people run."""

from typing import Any

import pytest

from sdrt.arrays import Numerics
from sdrt.backends import signature
from sdrt.errors import ConfigError
from sdrt.models.components import COMPONENTS, ComponentName

XL = {
    "block_out_channels": [320, 640, 1280],
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    "cross_attention_dim": 2048,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
REFINER = {
    **XL,
    "block_out_channels": [384, 768, 1536, 1536],
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    "cross_attention_dim": 1280,
    "projection_class_embeddings_input_dim": 2560,
}
TWO_LEVELS = {
    "block_out_channels": [32, 64],
    "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
    "layers_per_block": [1, 3],
}


def inputs_of(component: ComponentName, config: dict[str, Any], numerics: Numerics = "float32") -> list[str]:
    return [str(spec) for spec in signature(component, COMPONENTS[component].complete(config), numerics).inputs]


def test_unet_of_stable_diffusion() -> None:
    wanted = ["sample float32[*,4,*,*]", "timestep float32[*]", "encoder_hidden_states float32[*,*,768]"]
    assert inputs_of("unet", {"cross_attention_dim": 768}) == wanted
    assert inputs_of("unet", {"cross_attention_dim": 768, "in_channels": 9})[0] == "sample float32[*,9,*,*]"


def test_unet_of_stable_diffusion_xl_and_its_refiner() -> None:
    """The pooled text is 1280 wide in both: with six ids in the one, five in the other."""
    assert inputs_of("unet", XL)[3:] == ["text_embeds float32[*,1280|1536]", "time_ids float32[*,5|6]"]
    assert inputs_of("unet", REFINER)[3:] == ["text_embeds float32[*,1024|1280]", "time_ids float32[*,5|6]"]


def test_unet_of_a_latent_consistency_model() -> None:
    assert inputs_of("unet", {"time_cond_proj_dim": 256}, "float64")[3:] == ["timestep_cond float64[*,256]"]


@pytest.mark.parametrize(
    ("config", "widths"),
    [
        ({}, [320] * 4 + [640] * 3 + [1280] * 6),
        (XL, [320] * 4 + [640] * 3 + [1280] * 3),
        (TWO_LEVELS, [32, 32, 32, 64, 64, 64, 64]),
    ],
)
def test_a_controlnet_gives_what_a_unet_may_take(config: dict[str, Any], widths: list[int]) -> None:
    """Stable Diffusion 1.5's thirteen residuals, the middle's last, and SDXL's ten."""
    given = signature("controlnet", COMPONENTS["controlnet"].complete(config), "float32").outputs
    taken = signature("unet", COMPONENTS["unet"].complete(config), "float32").optional
    assert given == taken
    assert [spec.shape[1] for spec in given] == widths
    assert [spec.name for spec in given] == [f"additional_residual_{index}" for index in range(len(widths))]


def test_controlnet() -> None:
    assert inputs_of("controlnet", {"conditioning_channels": 1})[3:] == ["controlnet_cond float32[*,1,*,*]"]
    assert [text.split()[0] for text in inputs_of("controlnet", XL)[3:]] == ["text_embeds", "time_ids", "controlnet_cond"]


def test_safety_checker() -> None:
    """The picture's size comes from the tower's own configuration, the older key of which wins as in transformers."""
    assert inputs_of("safety_checker", {}) == ["clip_input float32[*,3,224,224]"]
    older = {"vision_config": {"image_size": 8}, "vision_config_dict": {"image_size": 16}}
    assert inputs_of("safety_checker", older) == ["clip_input float32[*,3,16,16]"]
    outputs = signature("safety_checker", COMPONENTS["safety_checker"].complete({}), "float32").outputs
    assert list(map(str, outputs)) == ["concept_scores float32[*,17]", "special_scores float32[*,3]"]


def test_an_unknown_part_is_named() -> None:
    with pytest.raises(ConfigError, match=r"component must be one of text_encoder, text_encoder_2, unet, .*, got 'vae'"):
        signature("vae", {}, "float32")  # type: ignore[arg-type]
