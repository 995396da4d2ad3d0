"""Say what a file is that is no upscaler, by the names in it."""

from collections.abc import Collection

__all__ = ["words_for"]

# A part of a tensor's name, and what the file is then. The first match is reported.
_OTHERS = (
    ("lora_", "a LoRA"),
    (".lora_A.", "a LoRA"),
    ("hada_", "a LoRA"),
    ("lokr_", "a LoRA"),
    ("conv1x1.", "an ESRGAN+, which has one convolution more in each dense block"),
    ("residual_group.", "a transformer that enlarges (SwinIR, HAT and their kin)"),
    ("attn.relative_position_bias_table", "a transformer that enlarges (SwinIR, HAT and their kin)"),
    ("model.diffusion_model.", "a checkpoint of Stable Diffusion"),
    ("double_blocks.0.", "a Flux model"),
    ("input_hint_block.", "a ControlNet"),
    ("controlnet_cond_embedding.", "a ControlNet"),
    ("image_proj.", "an IP-Adapter"),
    ("encoder.down", "a VAE"),
    ("decoder.up", "a VAE"),
    ("down_blocks.", "a U-Net"),
    ("input_blocks.", "a U-Net"),
    ("text_model.", "a text encoder"),
    ("token_embedding", "a text encoder"),
    ("emb_params", "a textual inversion"),
    ("string_to_param", "a textual inversion"),
)
_NONE = "none that sdrt knows"


def words_for(names: Collection[str]) -> str:
    """Return what the file is, as a noun.

    >>> words_for(["lora_unet_down_blocks_0.alpha"]), words_for(["decoder.up.0.block.0.conv1.weight"]), words_for(["weight"])
    ('a LoRA', 'a VAE', 'none that sdrt knows')
    """
    return next((words for mark, words in _OTHERS if any(mark in name for name in names)), _NONE)
