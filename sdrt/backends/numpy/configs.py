"""What this backend needs of the configurations of autoencoders and CLIP's towers, checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from sdrt.backends.numpy.config_reader import ConfigReader

__all__ = ["TextEncoderConfig", "TowerConfig", "VaeConfig", "VisionConfig"]


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
        reader = ConfigReader(file, values)
        channels = tuple(reader.values["block_out_channels"])
        reader.kinds("down_block_types", {"DownEncoderBlock2D": True})
        reader.kinds("up_block_types", {"UpDecoderBlock2D": True})
        reader.only("act_fn", "silu", "swish")
        return cls(
            in_channels=reader.values["in_channels"],
            out_channels=reader.values["out_channels"],
            latent_channels=reader.values["latent_channels"],
            channels=channels,
            layers_per_block=reader.values["layers_per_block"],
            norm_num_groups=reader.divisor("norm_num_groups", *channels),
            use_quant_conv=reader.values["use_quant_conv"],
            use_post_quant_conv=reader.values["use_post_quant_conv"],
            mid_block_add_attention=reader.values["mid_block_add_attention"],
        )


@dataclass(frozen=True, kw_only=True)
class TowerConfig:
    """Layers of CLIP, for texts or for pictures."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    hidden_act: str
    layer_norm_eps: float

    @staticmethod
    def values(reader: ConfigReader) -> dict[str, Any]:
        """Read and check these fields."""
        hidden_size = reader.values["hidden_size"]
        return {
            "hidden_size": hidden_size,
            "intermediate_size": reader.values["intermediate_size"],
            "num_hidden_layers": reader.values["num_hidden_layers"],
            "num_attention_heads": reader.divisor("num_attention_heads", hidden_size),
            "hidden_act": reader.only("hidden_act", "quick_gelu", "gelu"),
            "layer_norm_eps": float(reader.values["layer_norm_eps"]),
        }


@dataclass(frozen=True, kw_only=True)
class TextEncoderConfig(TowerConfig):
    """A CLIPTextModel, or a CLIPTextModelWithProjection."""

    vocab_size: int
    max_position_embeddings: int
    eos_token_id: int
    projection_dim: int | None  # width of the pooled state where the class projects it

    @classmethod
    def read(cls, file: Path, values: Mapping[str, Any]) -> Self:
        """Check a whole configuration; raises ConfigError that names file, key, value and what is supported."""
        reader = ConfigReader(file, values)
        projects = "CLIPTextModelWithProjection" in (values.get("architectures") or ())
        return cls(
            **cls.values(reader),
            vocab_size=reader.values["vocab_size"],
            max_position_embeddings=reader.values["max_position_embeddings"],
            eos_token_id=reader.values["eos_token_id"],
            projection_dim=reader.values["projection_dim"] if projects else None,
        )


@dataclass(frozen=True, kw_only=True)
class VisionConfig(TowerConfig):
    """A CLIPVisionModelWithProjection, or the same tower in a StableDiffusionSafetyChecker."""

    num_channels: int
    image_size: int
    patch_size: int
    projection_dim: int

    @classmethod
    def read(cls, file: Path, values: Mapping[str, Any], projection_dim: int) -> Self:
        """Check the configuration of a tower; raises ConfigError that names file, key, value and what is supported."""
        reader = ConfigReader(file, values)
        return cls(
            **cls.values(reader),
            num_channels=reader.values["num_channels"],
            image_size=reader.values["image_size"],
            patch_size=reader.values["patch_size"],
            projection_dim=projection_dim,
        )
