"""Names of tensors in LoRA files, in each convention."""

import pytest

from sdrt.models.lora.keys import Key, parse_key

ATTENTION = "mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
FLAT = ATTENTION.replace(".", "_")


@pytest.mark.parametrize(
    ("stored", "key"),
    [
        (f"lora_unet_{FLAT}.lora_down.weight", Key("unet", FLAT, True, "down")),
        (f"lora_unet_{FLAT}.lora_mid.weight", Key("unet", FLAT, True, "middle")),
        ("lora_te_text_model_encoder_layers_0_mlp_fc1.alpha", Key("text_encoder", "text_model_encoder_layers_0_mlp_fc1", True, "alpha")),
        ("lora_te2_text_projection.lora_up.weight", Key("text_encoder_2", "text_projection", True, "up")),
        (f"unet.{ATTENTION}.lora_A.weight", Key("unet", ATTENTION, False, "down")),
        (f"unet.{ATTENTION}.lora_B.default.weight", Key("unet", ATTENTION, False, "up")),
        (f"unet.{ATTENTION}.alpha", Key("unet", ATTENTION, False, "alpha")),
        (f"base_model.model.{ATTENTION}.lora_A.weight", Key("unet", ATTENTION, False, "down")),
        (f"{ATTENTION}.lora.up.weight", Key("unet", ATTENTION, False, "up")),
        (f"{ATTENTION.removesuffix('.to_q')}.processor.to_q_lora.down.weight", Key("unet", ATTENTION, False, "down")),
        (
            "text_encoder_2.encoder.layers.0.mlp.fc1.lora_linear_layer.up.weight",
            Key("text_encoder_2", "encoder.layers.0.mlp.fc1", False, "up"),
        ),
        ("mid_block.attn1.processor.to_out_lora.up.weight", Key("unet", "mid_block.attn1.to_out.0", False, "up")),
        (f"lora_unet_{FLAT}.hada_w1_a", Key("unet", FLAT, True, "hada_w1_a")),
        (f"lora_unet_{FLAT}.on_input", Key("unet", FLAT, True, "on_input")),
        (f"lycoris_{FLAT}.lokr_w2_b", Key("unet", FLAT, True, "lokr_w2_b")),
        (f"base_model.model.{ATTENTION}.lokr_w1", Key("unet", ATTENTION, False, "lokr_w1")),
        (f"unet.{ATTENTION}.lora_magnitude_vector.weight", Key("unet", ATTENTION, False, "magnitude")),
        ("base_model.model.text_model.encoder.fc1.lora_A.weight", Key("text_encoder", "encoder.fc1", False, "down")),
        ("diffusion_model.input_blocks.1.1.proj_in.diff_b", Key("unet", "input_blocks.1.1.proj_in", False, "diff_b")),
        ("text_encoders.clip_g.transformer.text_model.fc1.lora_up.weight", Key("text_encoder_2", "text_model.fc1", False, "up")),
    ],
)
def test_a_name_is_taken_apart(stored: str, key: Key) -> None:
    assert parse_key(stored) == key


@pytest.mark.parametrize(
    "stored",
    ["", "weight", f"lora_unet_{FLAT}.oft_blocks", "unet.alpha", f"unet.{ATTENTION}.weight", f"transformer.{ATTENTION}.lora_A.weight"],
)
def test_other_names_are_none(stored: str) -> None:
    assert parse_key(stored) is None
