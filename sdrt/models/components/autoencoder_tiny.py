"""The quick autoencoder (TAESD) in the place of a VAE: its keys and its contract.

It works on the denoiser's own latents, and its encoder gives latents, not the moments of a posterior: nothing is drawn.

Source: ``AutoencoderTiny`` of diffusers 0.42.1; madebyollin/taesd.
"""

from collections.abc import Mapping
from typing import Any

from sdrt.arrays import Signature, TensorSpec
from sdrt.errors import ConfigError
from sdrt.limits import Limits
from sdrt.models.components.keys import COUNT, FLAG, NAME, NUMBER, Key, check_layers, list_for_levels, optional, read_keys
from sdrt.printable import shown
from sdrt.values import Integer, Number

__all__ = ["TINY", "complete", "is_tiny", "pixels_per_latent", "tiny_decoder_contract", "tiny_encoder_contract"]

TINY = "AutoencoderTiny"

_BLOCKS = list_for_levels(Integer(0, 2**20, whole_floats=True))

_KEYS: Mapping[str, Key] = {
    "in_channels": Key(COUNT, 3),
    "out_channels": Key(COUNT, 3),
    "encoder_block_out_channels": Key(list_for_levels(), [64, 64, 64, 64]),
    "decoder_block_out_channels": Key(list_for_levels(), [64, 64, 64, 64]),
    "act_fn": Key(NAME, "relu"),
    "upsample_fn": Key(NAME, "nearest"),
    "latent_channels": Key(COUNT, 4),
    "upsampling_scaling_factor": Key(Integer(1, 16, whole_floats=True), 2),
    "num_encoder_blocks": Key(_BLOCKS, [1, 3, 3, 3]),
    "num_decoder_blocks": Key(_BLOCKS, [3, 3, 3, 1]),
    "latent_magnitude": Key(NUMBER, 3),
    "latent_shift": Key(NUMBER, 0.5),
    "force_upcast": Key(FLAG, False),
    "scaling_factor": Key(Number(1e-4, 1e4), 1.0),
    "shift_factor": optional(Number(-1e4, 1e4), 0.0),
}


def is_tiny(config: Mapping[str, Any]) -> bool:
    """Return whether the configuration of an autoencoder is that of a quick one."""
    return config.get("_class_name") == TINY


def complete(config: Mapping[str, Any], where: str, limits: Limits) -> dict[str, Any]:
    """Check a configuration and fill in the defaults of the class, see `Component.complete`."""
    values = read_keys(_KEYS, config, where)
    for half in ("encoder", "decoder"):
        widths, blocks = values[f"{half}_block_out_channels"], values[f"num_{half}_blocks"]
        if len(widths) != len(blocks):
            raise ConfigError(
                f"{where}: num_{half}_blocks must have {len(widths)} entries, as many as {half}_block_out_channels has, "
                f"got {shown(blocks)}; correct the file"
            )
        # the convolution between two levels has as many channels on either side: the peer builds others, which do not run
        if len(set(widths)) > 1:
            raise ConfigError(
                f"{where}: {half}_block_out_channels must be one number for all levels, got {shown(widths)}; correct the file"
            )
        check_layers({**values, "block_out_channels": widths}, (f"num_{half}_blocks",), limits, where)
    return values


def pixels_per_latent(config: Mapping[str, Any]) -> int:
    """Return how many pixels, along each side, the decoder makes of a latent."""
    return int(config["upsampling_scaling_factor"] ** (len(config["num_decoder_blocks"]) - 1))


def tiny_decoder_contract(config: Mapping[str, Any], dtype: str) -> Signature:
    """Return the signature of the decoder: that of any other."""
    return Signature(
        inputs=(TensorSpec("z", dtype, (None, config["latent_channels"], None, None)),),
        outputs=(TensorSpec("image", dtype, (None, config["out_channels"], None, None)),),
    )


def tiny_encoder_contract(config: Mapping[str, Any], dtype: str) -> Signature:
    """Return the signature of the encoder, whose output is latents."""
    return Signature(
        inputs=(TensorSpec("x", dtype, (None, config["in_channels"], None, None)),),
        outputs=(TensorSpec("latents", dtype, (None, config["latent_channels"], None, None)),),
    )
