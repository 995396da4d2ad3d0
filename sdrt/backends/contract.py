"""The canonical contract of every component: what goes in and comes out, read from the model's own configuration.

A backend hides its own layout and dtype behind these signatures; the runtime checks both sides of each call against them. A backend whose
networks were fixed elsewhere (Core ML) may lack outputs, and its safety checker gives ``has_nsfw`` bool[n] in the place of scores.
"""

from collections.abc import Mapping
from typing import Any

from sdrt.arrays import Numerics, Signature, TensorSpec, float_dtype
from sdrt.errors import ConfigError
from sdrt.models.components import COMPONENTS, ComponentName

__all__ = ["signature"]

# Numbers beside the text in SDXL's condition: original size, crop, and target size (6) or aesthetic score (5, the refiner).
_TIME_IDS = (5, 6)

# What the safety checker knows, fixed by its class in diffusers.
_CONCEPTS, _SPECIAL_CONCEPTS = 17, 3


def signature(component: ComponentName, config: Mapping[str, Any], numerics: Numerics) -> Signature:
    """The signature of a component.

    Parameters
    ----------
    component : ComponentName
    config : mapping
        The component's ``config.json``, with the defaults of its diffusers or transformers class filled in.
    numerics : "float32" or "float64"
        The promise of precision, which fixes the dtype of every floating array on the seam.

    Raises
    ------
    ConfigError : the component is unknown

    >>> print(*signature("vae_decoder", {"latent_channels": 4, "out_channels": 3}, "float32").inputs)
    z float32[*,4,*,*]
    """
    dtype = float_dtype(numerics).name
    match component:
        case "text_encoder" | "text_encoder_2":
            return _text_encoder(config, dtype)
        case "unet":
            return Signature(
                inputs=(*_denoiser(config, dtype), *_guidance_embedding(config, dtype)),
                outputs=(TensorSpec("noise_pred", dtype, (None, config["out_channels"], None, None)),),
                optional=_residuals(config, dtype),
            )
        case "controlnet":
            hint = TensorSpec("controlnet_cond", dtype, (None, config["conditioning_channels"], None, None))
            return Signature(inputs=(*_denoiser(config, dtype), hint), outputs=_residuals(config, dtype))
        case "vae_decoder":
            return Signature(
                inputs=(TensorSpec("z", dtype, (None, config["latent_channels"], None, None)),),
                outputs=(TensorSpec("image", dtype, (None, config["out_channels"], None, None)),),
            )
        case "vae_encoder":
            return Signature(
                inputs=(TensorSpec("x", dtype, (None, config["in_channels"], None, None)),),
                outputs=(TensorSpec("moments", dtype, (None, 2 * config["latent_channels"], None, None)),),
            )
        case "safety_checker":
            size, channels = config["vision_config"]["image_size"], config["vision_config"]["num_channels"]
            return Signature(
                inputs=(TensorSpec("clip_input", dtype, (None, channels, size, size)),),
                outputs=(
                    TensorSpec("concept_scores", dtype, (None, _CONCEPTS)),
                    TensorSpec("special_scores", dtype, (None, _SPECIAL_CONCEPTS)),
                ),
            )
    raise ConfigError(f"a component is one of {', '.join(COMPONENTS)}; got {component!r}")


def _text_encoder(config: Mapping[str, Any], dtype: str) -> Signature:
    length, width = config["max_position_embeddings"], config["hidden_size"]
    states = (None, None, width)
    projects = "CLIPTextModelWithProjection" in (config.get("architectures") or ())
    return Signature(
        inputs=(TensorSpec("input_ids", "int32", (None, frozenset(range(1, length + 1)))),),
        outputs=(
            TensorSpec("last_hidden_state", dtype, states),
            TensorSpec("penultimate_hidden_state", dtype, states),
            TensorSpec("pooled", dtype, (None, config["projection_dim"] if projects else width)),
        ),
    )


def _denoiser(config: Mapping[str, Any], dtype: str) -> tuple[TensorSpec, ...]:
    """What U-Net and ControlNet have in common; the last two where the model is of SDXL's kind."""
    specs = (
        TensorSpec("sample", dtype, (None, config["in_channels"], None, None)),
        TensorSpec("timestep", dtype, (None,)),
        TensorSpec("encoder_hidden_states", dtype, (None, None, config["cross_attention_dim"])),
    )
    if config["addition_embed_type"] != "text_time":
        return specs
    # how wide the pooled text is stands nowhere: each number of ids leaves it another width, and the network refuses a pair that misses
    joint, each = config["projection_class_embeddings_input_dim"], config["addition_time_embed_dim"]
    counts = frozenset(count for count in _TIME_IDS if joint > count * each)
    return (
        *specs,
        TensorSpec("text_embeds", dtype, (None, frozenset(joint - count * each for count in counts))),
        TensorSpec("time_ids", dtype, (None, counts)),
    )


def _guidance_embedding(config: Mapping[str, Any], dtype: str) -> tuple[TensorSpec, ...]:
    """The embedded guidance scale of a latent consistency model."""
    size = config["time_cond_proj_dim"]
    return () if size is None else (TensorSpec("timestep_cond", dtype, (None, size)),)


def _residuals(config: Mapping[str, Any], dtype: str) -> tuple[TensorSpec, ...]:
    """What a ControlNet gives a U-Net: after its first convolution, each residual block and downsampler on the way down, and the middle."""
    channels, layers = tuple(config["block_out_channels"]), config["layers_per_block"]
    counts = (layers,) * len(channels) if isinstance(layers, int) else tuple(layers)
    widths = [channels[0]]
    for level, (width, count) in enumerate(zip(channels, counts, strict=True)):
        widths += [width] * (count + (level < len(channels) - 1))
    widths.append(channels[-1])
    return tuple(TensorSpec(f"additional_residual_{index}", dtype, (None, width, None, None)) for index, width in enumerate(widths))
