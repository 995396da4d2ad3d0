"""The canonical contract of every part: what goes in and comes out, read from the model's own configuration.

A backend hides its own layout and dtype behind these signatures; the runtime checks both sides of each call against them.
"""

from collections.abc import Mapping
from typing import Any

from sdrt.arrays import Signature, TensorSpec
from sdrt.errors import ConfigError
from sdrt.models.parts import PARTS, Part

__all__ = ["signature"]


def signature(part: Part, config: Mapping[str, Any], float_dtype: str) -> Signature:
    """The signature of a part.

    Parameters
    ----------
    part : Part
    config : mapping
        The part's ``config.json``, with the defaults of its diffusers or transformers class filled in.
    float_dtype : "float32" or "float64"
        The dtype of every floating array on the seam.

    Raises
    ------
    ConfigError : the part is unknown

    >>> print(*signature("vae_decoder", {"latent_channels": 4, "out_channels": 3}, "float32").inputs)
    z float32[*,4,*,*]
    """
    match part:
        case "text_encoder":
            length, width = config["max_position_embeddings"], config["hidden_size"]
            states = (None, None, width)
            projects = "CLIPTextModelWithProjection" in (config.get("architectures") or ())
            return Signature(
                inputs=(TensorSpec("input_ids", "int32", (None, frozenset(range(1, length + 1)))),),
                outputs=(
                    TensorSpec("last_hidden_state", float_dtype, states),
                    TensorSpec("penultimate_hidden_state", float_dtype, states),
                    TensorSpec("pooled", float_dtype, (None, config["projection_dim"] if projects else width)),
                ),
            )
        case "unet":
            return Signature(
                inputs=(
                    TensorSpec("sample", float_dtype, (None, config["in_channels"], None, None)),
                    TensorSpec("timestep", float_dtype, (None,)),
                    TensorSpec("encoder_hidden_states", float_dtype, (None, None, config["cross_attention_dim"])),
                ),
                outputs=(TensorSpec("noise_pred", float_dtype, (None, config["out_channels"], None, None)),),
            )
        case "vae_decoder":
            return Signature(
                inputs=(TensorSpec("z", float_dtype, (None, config["latent_channels"], None, None)),),
                outputs=(TensorSpec("image", float_dtype, (None, config["out_channels"], None, None)),),
            )
        case "vae_encoder":
            return Signature(
                inputs=(TensorSpec("x", float_dtype, (None, config["in_channels"], None, None)),),
                outputs=(TensorSpec("moments", float_dtype, (None, 2 * config["latent_channels"], None, None)),),
            )
    raise ConfigError(f"a part is one of {', '.join(PARTS)}; got {part!r}")
