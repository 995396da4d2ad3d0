"""What this backend needs of the configurations of U-Nets and ControlNets, checked; levels are counted from the widest picture down."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from sdrt.backends.numpy.config_reader import ConfigReader
from sdrt.models.components.cross_attentions import cross_attentions
from sdrt.models.components.self_attentions import finest_self_attentions

__all__ = ["AddedConfig", "ControlNetConfig", "TrunkConfig", "UNetConfig", "UnionConfig"]


@dataclass(frozen=True, kw_only=True)
class AddedConfig:
    """What SDXL adds to the timestep's embedding: a pooled text, and numbers (sizes, a crop, a score) as features like a timestep's."""

    time_size: int  # features of each number
    joint_size: int  # the text and all features


@dataclass(frozen=True, kw_only=True)
class TrunkConfig:
    """What U-Net and ControlNet have in common: the embeddings, the way down and the middle."""

    in_channels: int
    flip_sin_to_cos: bool  # whether the cosines of the timestep come first
    freq_shift: float
    time_embedding_dim: int
    added: AddedConfig | None
    channels: tuple[int, ...]  # of each level
    layers: tuple[int, ...]  # residual blocks of each level on the way down; one more on the way up
    down_attention: tuple[bool, ...]  # whether a level has transformers, downwards
    mid: str | None
    heads: tuple[int, ...]
    down_transformers: tuple[tuple[int, ...], ...]  # layers of each transformer of each level
    cross_attention_dim: int
    only_cross_attention: tuple[bool, ...]
    use_linear_projection: bool
    downsample_padding: int
    norm_num_groups: int
    norm_eps: float

    @staticmethod
    def values(reader: ConfigReader) -> dict[str, Any]:
        """Read and check the fields that both classes have."""
        for key in ("encoder_hid_dim", "encoder_hid_dim_type", "num_attention_heads", "class_embed_type", "num_class_embeds"):
            reader.only(key, None)
        reader.only("act_fn", "silu", "swish")
        reader.only("resnet_time_scale_shift", "default")
        reader.only("mid_block_scale_factor", 1, 1.0)
        # float32 or better everywhere: upcast_attention has nothing to do (SDXL's own file says null)
        reader.only("upcast_attention", None, False, True)
        channels = tuple(reader.values["block_out_channels"])
        levels = len(channels)
        layers = reader.per_level("layers_per_block", levels)
        return {
            "in_channels": reader.values["in_channels"],
            "flip_sin_to_cos": reader.values["flip_sin_to_cos"],
            "freq_shift": float(reader.values["freq_shift"]),
            "added": _added(reader),
            "channels": channels,
            "layers": layers,
            "down_attention": reader.kinds("down_block_types", {"DownBlock2D": False, "CrossAttnDownBlock2D": True}),
            "heads": reader.per_level("attention_head_dim", levels),
            "down_transformers": _down_transformers(reader, layers),
            "cross_attention_dim": reader.values["cross_attention_dim"],
            "only_cross_attention": reader.per_level("only_cross_attention", levels),
            "use_linear_projection": reader.values["use_linear_projection"],
            "downsample_padding": reader.only("downsample_padding", 0, 1),
            "norm_num_groups": reader.divisor("norm_num_groups", *channels),
            "norm_eps": float(reader.values["norm_eps"]),
        }


@dataclass(frozen=True, kw_only=True)
class UNetConfig(TrunkConfig):
    """A UNet2DConditionModel in the forms of Stable Diffusion 1.x, 2.x and XL, of its refiner and of latent consistency models."""

    out_channels: int
    center_input_sample: bool  # whether the sample is in [0, 1] and is stretched to [-1, 1] first
    time_cond_proj_dim: int | None  # width of the embedded guidance scale that a latent consistency model takes
    up_attention: tuple[bool, ...]  # whether a level has transformers, from the smallest picture
    up_transformers: tuple[tuple[int, ...], ...]
    ip_adapters: int  # whose keys and values stand beside the weights
    finest_self_attentions: tuple[str, ...]  # the paths of those that see the most pixels
    cross_attentions: tuple[str, ...]  # their paths, in the order in which those adapters count them

    @classmethod
    def read(cls, file: Path, values: Mapping[str, Any]) -> Self:
        """Check a whole configuration; raises ConfigError that names file, key, value and what is supported."""
        reader = ConfigReader(file, values)
        for key in ("time_embedding_act_fn", "timestep_post_act", "cross_attention_norm"):
            reader.only(key, None)
        for key in ("dual_cross_attention", "resnet_skip_time_act", "class_embeddings_concat"):
            reader.only(key, False)
        reader.only("time_embedding_type", "positional")
        reader.only("attention_type", "default")
        reader.only("conv_in_kernel", 3)
        reader.only("conv_out_kernel", 3)
        reader.only("resnet_out_scale_factor", 1, 1.0)
        common = cls.values(reader)
        first = common["channels"][0]
        return cls(
            **common,
            mid=reader.only("mid_block_type", "UNetMidBlock2DCrossAttn", "UNetMidBlock2D", None),
            time_embedding_dim=4 * first if values["time_embedding_dim"] is None else values["time_embedding_dim"],
            out_channels=reader.values["out_channels"],
            center_input_sample=reader.values["center_input_sample"],
            time_cond_proj_dim=values["time_cond_proj_dim"],
            up_attention=reader.kinds("up_block_types", {"UpBlock2D": False, "CrossAttnUpBlock2D": True}),
            up_transformers=_up_transformers(reader, common["layers"]),
            ip_adapters=values.get("ip_adapters", 0),
            cross_attentions=cross_attentions(values),
            finest_self_attentions=finest_self_attentions(values),
        )


@dataclass(frozen=True, kw_only=True)
class ControlNetConfig(TrunkConfig):
    """A ControlNetModel for Stable Diffusion 1.x, 2.x or XL."""

    conditioning_channels: int
    blue_first: bool  # whether the picture's channels are to be turned round
    hint_channels: tuple[int, ...]  # of the convolutions that bring the picture to the latents' size
    global_pool_conditions: bool  # whether a residual is one number for a whole channel

    @classmethod
    def read(cls, file: Path, values: Mapping[str, Any]) -> Self:
        """Check a whole configuration; raises ConfigError that names file, key, value and what is supported."""
        return cls(**cls.values(ConfigReader(file, values)))

    @staticmethod
    def values(reader: ConfigReader) -> dict[str, Any]:
        """Read and check the fields of ControlNets for one sort of picture, and for several."""
        common = TrunkConfig.values(reader)
        return {
            **common,
            "mid": reader.only("mid_block_type", "UNetMidBlock2DCrossAttn", "UNetMidBlock2D"),
            "time_embedding_dim": 4 * common["channels"][0],
            "conditioning_channels": reader.values["conditioning_channels"],
            "blue_first": reader.only("controlnet_conditioning_channel_order", "rgb", "bgr") == "bgr",
            "hint_channels": tuple(reader.values["conditioning_embedding_out_channels"]),
            "global_pool_conditions": reader.values["global_pool_conditions"],
        }


@dataclass(frozen=True, kw_only=True)
class UnionConfig(ControlNetConfig):
    """A ControlNetUnionModel, whose middle attends to the text always."""

    num_control_type: int  # sorts of pictures
    sort_layers: int  # of the transformer that the vector of a picture passes through
    control_time_size: int  # features of each sort's flag

    @classmethod
    def read(cls, file: Path, values: Mapping[str, Any]) -> Self:
        """Check a whole configuration; raises ConfigError that names file, key, value and what is supported."""
        reader = ConfigReader(file, {**values, "mid_block_type": "UNetMidBlock2DCrossAttn"})
        return cls(
            **cls.values(reader),
            num_control_type=values["num_control_type"],
            sort_layers=values["num_trans_layer"],
            control_time_size=values["addition_time_embed_dim"],
        )


def _added(reader: ConfigReader) -> AddedConfig | None:
    if reader.only("addition_embed_type", "text_time", None) is None:
        return None
    time_size, joint_size = reader.values["addition_time_embed_dim"], reader.values["projection_class_embeddings_input_dim"]
    return AddedConfig(time_size=time_size, joint_size=joint_size)


# Layers of each transformer of each level: an entry is a number for all of a level's transformers, or a list of one for each.
_LAYERS = "transformer_layers_per_block"


def _down_transformers(reader: ConfigReader, layers: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    counts = tuple(map(_each, reader.per_level(_LAYERS, len(layers)), layers))
    if not all(counts):
        raise reader.refuse(_LAYERS, "lists that have an entry for each transformer of a level")
    return counts


def _up_transformers(reader: ConfigReader, layers: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """From the smallest picture up; lists on the way down need a list of their own for the way up."""
    reverse = reader.values[f"reverse_{_LAYERS}"]
    entries = reader.per_level(_LAYERS, len(layers))[::-1] if reverse is None else tuple(reverse)
    counts = tuple(_each(entry, count + 1) for entry, count in zip(entries, layers[::-1], strict=True))
    if not all(counts):
        key = _LAYERS if reverse is None else f"reverse_{_LAYERS}"
        raise reader.refuse(key, "lists that have an entry for each transformer of a level (upwards each list is one longer)")
    return counts


def _each(entry: int | Sequence[int], count: int) -> tuple[int, ...]:
    """Return ``count`` numbers from one or from a list of at least that many; empty if the list is shorter."""
    numbers = (entry,) * count if isinstance(entry, int) else tuple(entry)
    return numbers if len(numbers) >= count else ()
