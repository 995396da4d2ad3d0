"""What this backend needs of a part's configuration, checked: a key whose value asks for something that is not built is refused by name.

Keys that a class of diffusers or transformers does not know are ignored there as here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from sdrt.errors import ConfigError

__all__ = ["TextEncoderConfig", "UNetConfig", "VaeConfig"]


@dataclass(frozen=True)
class _Reader:
    """A configuration and the file that it came from."""

    file: Path
    values: Mapping[str, Any]

    def refuse(self, key: str, supported: str) -> ConfigError:
        return ConfigError(f"{self.file}: {key} is {self.values[key]!r}; the numpy backend runs {supported}")

    def only(self, key: str, *allowed: object) -> Any:
        """The value of ``key``, which must be one of these."""
        value = self.values[key]
        # True == 1 for Python, but a configuration that says so means something else
        if not any(type(value) is type(choice) and value == choice for choice in allowed):
            raise self.refuse(key, " or ".join(map(repr, allowed)))
        return value

    def integer(self, key: str) -> int:
        value = self.values[key]
        if not _is_count(value):
            raise self.refuse(key, "a whole number above 0")
        return int(value)

    def divisor(self, key: str, *multiples: int) -> int:
        """A whole number that divides all of these."""
        value = self.values[key]
        if not _is_count(value) or any(multiple % value for multiple in multiples):
            raise self.refuse(key, f"a divisor of {', '.join(map(str, dict.fromkeys(multiples)))}")
        return int(value)

    def number(self, key: str) -> float:
        value = self.values[key]
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise self.refuse(key, "a number")
        return float(value)

    def boolean(self, key: str) -> bool:
        return bool(self.only(key, False, True))

    def integers(self, key: str) -> tuple[int, ...]:
        value = self.values[key]
        if not isinstance(value, Sequence) or not value or not all(_is_count(entry) for entry in value):
            raise self.refuse(key, "a list of whole numbers above 0")
        return tuple(value)

    def per_level(self, key: str, levels: int) -> tuple[int, ...]:
        """A number for each level, from one number for all or a list."""
        value = self.values[key]
        values = (value,) * levels if not isinstance(value, Sequence) else tuple(value)
        if len(values) != levels or not all(_is_count(entry) for entry in values):
            raise self.refuse(key, f"a whole number above 0, or a list of {levels}")
        return values

    def flags(self, key: str, levels: int) -> tuple[bool, ...]:
        value = self.values[key]
        values = (value,) * levels if not isinstance(value, Sequence) else tuple(value)
        if len(values) != levels or not all(isinstance(entry, bool) for entry in values):
            raise self.refuse(key, f"true, false, or a list of {levels} of them")
        return values

    def kinds(self, key: str, levels: int, choices: Mapping[str, bool]) -> tuple[bool, ...]:
        """What each level's block type stands for."""
        value = self.values[key]
        if not isinstance(value, Sequence) or len(value) != levels or not all(entry in choices for entry in value):
            raise self.refuse(key, f"{levels} blocks, as many as block_out_channels has, each {' or '.join(choices)}")
        return tuple(choices[entry] for entry in value)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


@dataclass(frozen=True, kw_only=True)
class UNetConfig:
    """A UNet2DConditionModel in the forms of Stable Diffusion 1.x and 2.x; levels are counted from the widest picture down."""

    in_channels: int
    out_channels: int
    center_input_sample: bool  # whether the sample is in [0, 1] and is stretched to [-1, 1] first
    flip_sin_to_cos: bool  # whether the cosines of the timestep come first
    freq_shift: float
    time_embedding_dim: int
    channels: tuple[int, ...]  # of each level
    layers: tuple[int, ...]  # residual blocks of each level on the way down; one more on the way up
    down_attention: tuple[bool, ...]  # whether a level has transformers, downwards
    up_attention: tuple[bool, ...]  # the same upwards, from the smallest picture
    mid: str | None
    heads: tuple[int, ...]
    down_transformers: tuple[tuple[int, ...], ...]  # layers of each transformer of each level
    mid_transformer: int
    up_transformers: tuple[tuple[int, ...], ...]
    cross_attention_dim: int
    only_cross_attention: tuple[bool, ...]
    use_linear_projection: bool
    downsample_padding: int
    norm_num_groups: int
    norm_eps: float

    @classmethod
    def read(cls, file: Path, values: Mapping[str, Any]) -> Self:
        """Check a whole configuration; raises ConfigError that names file, key, value and what is supported."""
        reader = _Reader(file, values)
        for key in (
            "encoder_hid_dim",
            "encoder_hid_dim_type",
            "num_attention_heads",
            "class_embed_type",
            "num_class_embeds",
            "projection_class_embeddings_input_dim",
            "addition_embed_type",
            "addition_time_embed_dim",
            "time_embedding_act_fn",
            "timestep_post_act",
            "time_cond_proj_dim",
            "cross_attention_norm",
        ):
            reader.only(key, None)
        for key in ("dual_cross_attention", "resnet_skip_time_act", "class_embeddings_concat"):
            reader.only(key, False)
        reader.only("act_fn", "silu", "swish")
        reader.only("resnet_time_scale_shift", "default")
        reader.only("time_embedding_type", "positional")
        reader.only("attention_type", "default")
        reader.only("conv_in_kernel", 3)
        reader.only("conv_out_kernel", 3)
        reader.only("resnet_out_scale_factor", 1, 1.0)
        reader.only("mid_block_scale_factor", 1, 1.0)
        # float32 or better everywhere: upcast_attention has nothing to do
        reader.boolean("upcast_attention")
        channels = reader.integers("block_out_channels")
        levels = len(channels)
        layers = reader.per_level("layers_per_block", levels)
        down, mid, up = _transformer_layers(reader, layers)
        return cls(
            in_channels=reader.integer("in_channels"),
            out_channels=reader.integer("out_channels"),
            center_input_sample=reader.boolean("center_input_sample"),
            flip_sin_to_cos=reader.boolean("flip_sin_to_cos"),
            freq_shift=reader.number("freq_shift"),
            time_embedding_dim=4 * channels[0] if values["time_embedding_dim"] is None else reader.integer("time_embedding_dim"),
            channels=channels,
            layers=layers,
            down_attention=reader.kinds("down_block_types", levels, {"DownBlock2D": False, "CrossAttnDownBlock2D": True}),
            up_attention=reader.kinds("up_block_types", levels, {"UpBlock2D": False, "CrossAttnUpBlock2D": True}),
            mid=reader.only("mid_block_type", "UNetMidBlock2DCrossAttn", "UNetMidBlock2D", None),
            heads=reader.per_level("attention_head_dim", levels),
            down_transformers=down,
            mid_transformer=mid,
            up_transformers=up,
            cross_attention_dim=reader.integer("cross_attention_dim"),
            only_cross_attention=reader.flags("only_cross_attention", levels),
            use_linear_projection=reader.boolean("use_linear_projection"),
            downsample_padding=reader.only("downsample_padding", 0, 1),
            norm_num_groups=reader.divisor("norm_num_groups", *channels),
            norm_eps=reader.number("norm_eps"),
        )


def _transformer_layers(reader: _Reader, layers: tuple[int, ...]) -> tuple[tuple[tuple[int, ...], ...], int, tuple[tuple[int, ...], ...]]:
    """Layers of each transformer: on the way down, in the middle, on the way up.

    A level's entry is a number for all its transformers, or a list of one for each; lists need a list of their own for the way up.
    """
    key = "transformer_layers_per_block"
    value, reverse = reader.values[key], reader.values[f"reverse_{key}"]
    down = tuple(value) if isinstance(value, Sequence) else (value,) * len(layers)
    up = down[::-1] if reverse is None else tuple(reverse)
    supported = f"a whole number above 0, or {len(layers)} of them or of lists of them"
    if len(down) != len(layers) or len(up) != len(layers):
        raise reader.refuse(key, supported)
    per_down = tuple(_each(entry, count) for entry, count in zip(down, layers, strict=True))
    per_up = tuple(_each(entry, count + 1) for entry, count in zip(up, layers[::-1], strict=True))
    if any(not counts for counts in per_down):
        raise reader.refuse(key, supported)
    if any(not counts for counts in per_up):
        raise reader.refuse(key if reverse is None else f"reverse_{key}", f"{supported} (upwards each list is one longer)")
    return per_down, per_down[-1][0], per_up


def _each(entry: object, count: int) -> tuple[int, ...]:
    """``count`` numbers from one or from a list of that many; empty if it is neither."""
    numbers = (entry,) * count if isinstance(entry, int) else tuple(entry) if isinstance(entry, Sequence) else ()
    return numbers if len(numbers) >= count and all(_is_count(number) for number in numbers) else ()


@dataclass(frozen=True, kw_only=True)
class VaeConfig:
    """An AutoencoderKL."""

    in_channels: int
    out_channels: int
    latent_channels: int
    channels: tuple[int, ...]  # of each level, from the widest picture down
    layers_per_block: int
    norm_num_groups: int
    use_quant_conv: bool
    use_post_quant_conv: bool
    mid_block_add_attention: bool

    @classmethod
    def read(cls, file: Path, values: Mapping[str, Any]) -> Self:
        """Check a whole configuration; raises ConfigError that names file, key, value and what is supported."""
        reader = _Reader(file, values)
        channels = reader.integers("block_out_channels")
        reader.kinds("down_block_types", len(channels), {"DownEncoderBlock2D": True})
        reader.kinds("up_block_types", len(channels), {"UpDecoderBlock2D": True})
        reader.only("act_fn", "silu", "swish")
        return cls(
            in_channels=reader.integer("in_channels"),
            out_channels=reader.integer("out_channels"),
            latent_channels=reader.integer("latent_channels"),
            channels=channels,
            layers_per_block=reader.integer("layers_per_block"),
            norm_num_groups=reader.divisor("norm_num_groups", *channels),
            use_quant_conv=reader.boolean("use_quant_conv"),
            use_post_quant_conv=reader.boolean("use_post_quant_conv"),
            mid_block_add_attention=reader.boolean("mid_block_add_attention"),
        )


@dataclass(frozen=True, kw_only=True)
class TextEncoderConfig:
    """A CLIPTextModel, or a CLIPTextModelWithProjection."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    max_position_embeddings: int
    hidden_act: str
    layer_norm_eps: float
    eos_token_id: int
    projection_dim: int | None  # width of the pooled state where the class projects it

    @classmethod
    def read(cls, file: Path, values: Mapping[str, Any]) -> Self:
        """Check a whole configuration; raises ConfigError that names file, key, value and what is supported."""
        reader = _Reader(file, values)
        hidden_size = reader.integer("hidden_size")
        projects = "CLIPTextModelWithProjection" in (values.get("architectures") or ())
        return cls(
            vocab_size=reader.integer("vocab_size"),
            hidden_size=hidden_size,
            intermediate_size=reader.integer("intermediate_size"),
            num_hidden_layers=reader.integer("num_hidden_layers"),
            num_attention_heads=reader.divisor("num_attention_heads", hidden_size),
            max_position_embeddings=reader.integer("max_position_embeddings"),
            hidden_act=reader.only("hidden_act", "quick_gelu", "gelu"),
            layer_norm_eps=reader.number("layer_norm_eps"),
            eos_token_id=reader.integer("eos_token_id"),
            projection_dim=reader.integer("projection_dim") if projects else None,
        )
