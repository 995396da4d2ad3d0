"""The autoencoder (VAE), as two components: text to image never opens the encoder."""

import re
from collections.abc import Mapping
from typing import Any

from sdrt.arrays import Signature, TensorSpec
from sdrt.models.components.record import Component, PackageNames

__all__ = ["VAE_DECODER", "VAE_ENCODER"]

# Of AutoencoderKL in diffusers 0.42.1.
_DEFAULTS: Mapping[str, Any] = {
    "in_channels": 3,
    "out_channels": 3,
    "down_block_types": ["DownEncoderBlock2D"],
    "up_block_types": ["UpDecoderBlock2D"],
    "block_out_channels": [64],
    "layers_per_block": 1,
    "act_fn": "silu",
    "latent_channels": 4,
    "norm_num_groups": 32,
    "sample_size": 32,
    "scaling_factor": 0.18215,
    "shift_factor": None,
    "latents_mean": None,
    "latents_std": None,
    "use_quant_conv": True,
    "use_post_quant_conv": True,
    "mid_block_add_attention": True,
}

# Names of attention tensors before diffusers 0.12, and those of the original code.
_OLD_ATTENTION = {
    "query": "to_q",
    "key": "to_k",
    "value": "to_v",
    "proj_attn": "to_out.0",
    "q": "to_q",
    "k": "to_k",
    "v": "to_v",
    "proj_out": "to_out.0",
    "to_out": "to_out.0",
    "norm": "group_norm",
}
_OLD_ATTENTION_NAME = re.compile(rf"(.*\.attentions\.\d+)\.({'|'.join(_OLD_ATTENTION)})\.(weight|bias)")


def _complete(config: Mapping[str, Any]) -> dict[str, Any]:
    return {**_DEFAULTS, **config}


def _canonical_name(stored: str) -> str:
    """Map the old names of attention tensors to ``to_q``, ``to_k``, ``to_v`` and ``to_out.0``.

    >>> _canonical_name("decoder.mid_block.attentions.0.proj_attn.bias")
    'decoder.mid_block.attentions.0.to_out.0.bias'
    """
    old = _OLD_ATTENTION_NAME.fullmatch(stored)
    return f"{old[1]}.{_OLD_ATTENTION[old[2]]}.{old[3]}" if old else stored


def _decoder_contract(config: Mapping[str, Any], dtype: str) -> Signature:
    return Signature(
        inputs=(TensorSpec("z", dtype, (None, config["latent_channels"], None, None)),),
        outputs=(TensorSpec("image", dtype, (None, config["out_channels"], None, None)),),
    )


def _encoder_contract(config: Mapping[str, Any], dtype: str) -> Signature:
    return Signature(
        inputs=(TensorSpec("x", dtype, (None, config["in_channels"], None, None)),),
        outputs=(TensorSpec("moments", dtype, (None, 2 * config["latent_channels"], None, None)),),
    )


_ROOTS = ("encoder.", "decoder.", "quant_conv.", "post_quant_conv.")

VAE_DECODER = Component(
    name="vae_decoder",
    folder="vae",
    prefix="first_stage_model.",
    packages=(PackageNames(role="vae_decoder", suffix="vae_decoder", resources=("VAEDecoder",)),),
    classes=("AutoencoderKL",),
    complete=_complete,
    contract=_decoder_contract,
    canonical_name=_canonical_name,
    roots=_ROOTS,
    others=("encoder.", "quant_conv."),
)
VAE_ENCODER = Component(
    name="vae_encoder",
    folder="vae",
    prefix="first_stage_model.",
    packages=(PackageNames(role="vae_encoder", suffix="vae_encoder", resources=("VAEEncoder",)),),
    classes=("AutoencoderKL",),
    complete=_complete,
    contract=_encoder_contract,
    canonical_name=_canonical_name,
    roots=_ROOTS,
    others=("decoder.", "post_quant_conv."),
)
