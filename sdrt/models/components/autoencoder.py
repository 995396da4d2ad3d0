"""The autoencoder (VAE), as two components: text to image never opens the encoder. `autoencoder_tiny` describes the quick class of it."""

import re
from collections.abc import Mapping
from typing import Any

from sdrt.arrays import Signature, TensorSpec
from sdrt.errors import ConfigError
from sdrt.limits import Limits
from sdrt.models.components.autoencoder_tiny import TINY, is_tiny, tiny_decoder_contract, tiny_encoder_contract
from sdrt.models.components.autoencoder_tiny import complete as complete_tiny
from sdrt.models.components.keys import (
    COUNT,
    FLAG,
    NAME,
    NUMBER,
    SIDE,
    Key,
    check_layers,
    check_levels,
    list_for_levels,
    optional,
    or_pair,
    read_keys,
)
from sdrt.models.components.record import Component, PackageNames
from sdrt.printable import shown
from sdrt.values import ListOf, Number

__all__ = ["VAE_DECODER", "VAE_ENCODER"]

# Of AutoencoderKL in diffusers 0.42.1.
_KEYS: Mapping[str, Key] = {
    "in_channels": Key(COUNT, 3),
    "out_channels": Key(COUNT, 3),
    "down_block_types": Key(list_for_levels(NAME), ["DownEncoderBlock2D"]),
    "up_block_types": Key(list_for_levels(NAME), ["UpDecoderBlock2D"]),
    "block_out_channels": Key(list_for_levels(), [64]),
    "layers_per_block": Key(COUNT, 1),
    "act_fn": Key(NAME, "silu"),
    "latent_channels": Key(COUNT, 4),
    "norm_num_groups": Key(COUNT, 32),
    "sample_size": Key(or_pair(SIDE), 32),
    "scaling_factor": Key(Number(1e-4, 1e4), 0.18215),
    "shift_factor": optional(Number(-1e4, 1e4)),
    "latents_mean": optional(ListOf(NUMBER, 1, 1024)),
    "latents_std": optional(ListOf(Number(0.0, above=True), 1, 1024)),
    "force_upcast": Key(FLAG),
    "use_quant_conv": Key(FLAG, True),
    "use_post_quant_conv": Key(FLAG, True),
    "mid_block_add_attention": Key(FLAG, True),
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


def _complete(config: Mapping[str, Any], where: str, limits: Limits) -> dict[str, Any]:
    if is_tiny(config):
        return complete_tiny(config, where, limits)
    values = read_keys(_KEYS, config, where)
    check_levels(values, ("down_block_types", "up_block_types"), where)
    check_layers(values, ("layers_per_block",), limits, where)
    _check_statistics(values, where)
    return values


def _check_statistics(values: Mapping[str, Any], where: str) -> None:
    """Check that the latents' mean and deviation are there both or neither, with a number for each channel."""
    channels = values["latent_channels"]
    given = [values[name] for name in ("latents_mean", "latents_std")]
    if given != [None, None] and not all(numbers is not None and len(numbers) == channels for numbers in given):
        raise ConfigError(
            f"{where}: latents_mean and latents_std must both be null, or have a number for each of {channels} channels, "
            f"got {shown(given)}; correct the file"
        )


def _canonical_name(stored: str) -> str:
    """Map the old names of attention tensors to ``to_q``, ``to_k``, ``to_v`` and ``to_out.0``.

    >>> _canonical_name("decoder.mid_block.attentions.0.proj_attn.bias")
    'decoder.mid_block.attentions.0.to_out.0.bias'
    """
    old = _OLD_ATTENTION_NAME.fullmatch(stored)
    return f"{old[1]}.{_OLD_ATTENTION[old[2]]}.{old[3]}" if old else stored


def _decoder_contract(config: Mapping[str, Any], dtype: str) -> Signature:
    if is_tiny(config):
        return tiny_decoder_contract(config, dtype)
    return Signature(
        inputs=(TensorSpec("z", dtype, (None, config["latent_channels"], None, None)),),
        outputs=(TensorSpec("image", dtype, (None, config["out_channels"], None, None)),),
    )


def _encoder_contract(config: Mapping[str, Any], dtype: str) -> Signature:
    if is_tiny(config):
        return tiny_encoder_contract(config, dtype)
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
    classes=("AutoencoderKL", TINY),
    keys=_complete,
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
    classes=("AutoencoderKL", TINY),
    keys=_complete,
    contract=_encoder_contract,
    canonical_name=_canonical_name,
    roots=_ROOTS,
    others=("decoder.", "post_quant_conv."),
)
