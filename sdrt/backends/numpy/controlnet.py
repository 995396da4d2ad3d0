"""ControlNetModel: the U-Net's trunk with a picture added to its input, and a product behind each of its results."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Self

import numpy as np

from sdrt.arrays import Array, Float
from sdrt.backends.numpy.activations import silu
from sdrt.backends.numpy.conv import Conv3x3, padded_copy
from sdrt.backends.numpy.denoiser_configs import ControlNetConfig
from sdrt.backends.numpy.linear import Linear
from sdrt.backends.numpy.source import Source
from sdrt.backends.numpy.team import ThreadTeam
from sdrt.backends.numpy.tiles import Tile, tiles
from sdrt.backends.numpy.trunk import BoundInputs, Trunk
from sdrt.errors import ArrayContractError

__all__ = ["ControlNet", "HintEmbedding"]

_NUMBERS = 2**17  # numbers a block of a pass over a picture, as in `norm`
_FLOPS = 50.0  # what a number costs there, in products' time


@dataclass(frozen=True)
class HintEmbedding:
    """The picture brought to the latents' size and the network's width by convolutions, every second of stride 2, silu between them."""

    conv_in: Conv3x3
    blocks: tuple[Conv3x3, ...]
    conv_out: Conv3x3
    blue_first: bool

    @classmethod
    def load(cls, source: Source, config: ControlNetConfig) -> Self:
        channels = config.hint_channels
        blocks = []
        for index, (size_in, size_out) in enumerate(pairwise(channels)):
            blocks.append(Conv3x3.load(source.at("blocks", 2 * index), size_in, size_in))
            blocks.append(Conv3x3.load(source.at("blocks", 2 * index + 1), size_in, size_out))
        return cls(
            conv_in=Conv3x3.load(source.at("conv_in"), config.conditioning_channels, channels[0]),
            blocks=tuple(blocks),
            conv_out=Conv3x3.load(source.at("conv_out"), channels[-1], config.channels[0]),
            blue_first=config.blue_first,
        )

    @property
    def scale(self) -> int:
        """How many times the picture is as high and wide as the latents."""
        return 1 << len(self.blocks) // 2

    def __call__(self, team: ThreadTeam, picture: Float) -> Float:
        """float[n, C, H, W] -> float[n, h, w, channels], half as high and wide for each stride."""
        x = (picture[:, ::-1] if self.blue_first else picture).transpose(0, 2, 3, 1)
        for index, conv in enumerate((self.conv_in, *self.blocks)):
            x = conv(team, padded_copy(team, x), stride=2 if index and index % 2 == 0 else 1)
            _silu(team, x)
        return self.conv_out(team, padded_copy(team, x))


def _channel_means(team: ThreadTeam, x: Float) -> Float:
    """float[n, h, w, c] -> float[n, 1, 1, c]."""
    means: Float = team.arithmetic.total(x, (1, 2), dtype=np.float64, keepdims=True) / (x.shape[1] * x.shape[2])
    return means.astype(x.dtype)


def _silu(team: ThreadTeam, x: Float) -> None:
    def block(tile: Tile) -> None:
        part = x[tile.images, tile.rows]
        silu(part, team.scratch, part, team.arithmetic.exponential)

    team.map_blocks(block, tiles(*x.shape[:3], max(1, _NUMBERS // x.shape[3])), _FLOPS * x.size)


@dataclass(frozen=True)
class ControlNet:
    """The network.

    Parameters
    ----------
    controlnet_down_blocks, controlnet_mid_block : Linear
        Behind each result of the way down, and behind the middle's last.
    pooled : bool
        Whether a residual is the mean of its channel.
    hint : float[n, h, w, channels] or None
        The embedded picture, where it is bound.
    """

    trunk: Trunk
    hint_embedding: HintEmbedding
    controlnet_down_blocks: tuple[Linear, ...]
    controlnet_mid_block: Linear
    pooled: bool
    bound: BoundInputs = field(default_factory=BoundInputs)
    hint: Float | None = None

    @classmethod
    def load(cls, source: Source, config: ControlNetConfig) -> Self:
        trunk = Trunk.load("controlnet", source, config)
        widths = [config.channels[0]]
        for stage, channels in zip(trunk.down_blocks, config.channels, strict=True):
            widths += [channels] * (len(stage.resnets) + (stage.downsampler is not None))
        behind = source.at("controlnet_down_blocks")
        last = config.channels[-1]
        return cls(
            trunk=trunk,
            hint_embedding=HintEmbedding.load(source.at("controlnet_cond_embedding"), config),
            controlnet_down_blocks=tuple(Linear.load(behind.at(index), width, width, kernel=(1, 1)) for index, width in enumerate(widths)),
            controlnet_mid_block=Linear.load(source.at("controlnet_mid_block"), last, last, kernel=(1, 1)),
            pooled=config.global_pool_conditions,
        )

    def with_constants(self, team: ThreadTeam, constants: Mapping[str, Array]) -> Self:
        """Return the same network with everything computed that these inputs alone decide, the picture's embedding among it."""
        bound, hint, picture = self.trunk.bind(team, self.bound, constants), self.hint, constants.get("controlnet_cond")
        if hint is None and picture is not None:
            hint = self.hint_embedding(team, picture)
        return replace(self, bound=bound, hint=hint)

    def run(self, team: ThreadTeam, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """All inputs of the signature -> `additional_residual_0` and so on.

        Raises
        ------
        ArrayContractError : the inputs disagree on the number of rows, or the picture's size does not fit the sample's
        """
        self.trunk.check_rows(inputs)
        return self.residuals(team, inputs, self.hint_embedding(team, inputs["controlnet_cond"]) if self.hint is None else self.hint)

    def residuals(self, team: ThreadTeam, inputs: Mapping[str, Array], hint: Float, more_time: Float | None = None) -> dict[str, Array]:
        """Run everything but the embedding of the picture.

        Parameters
        ----------
        hint : float[n, h, w, channels]
            The embedded picture.
        more_time : float[n, time_size] or None
            Added to the embedded timestep.

        Raises
        ------
        ArrayContractError : the picture's size does not fit the sample's
        """
        trunk, bound = self.trunk, self.bound
        condition, time = trunk.condition(bound, inputs), trunk.time(team, bound, inputs, more_time)
        sample = inputs["sample"].transpose(0, 2, 3, 1)
        if hint.shape[1:3] != sample.shape[1:3]:
            (height, width), scale = inputs["controlnet_cond"].shape[-2:], self.hint_embedding.scale
            raise ArrayContractError(
                f"controlnet input: controlnet_cond is {height}x{width} pixels for a sample of {sample.shape[1]}x{sample.shape[2]}; "
                f"it must be {scale * sample.shape[1]}x{scale * sample.shape[2]}"
            )
        x, results = trunk.down(team, trunk.conv_in(team, padded_copy(team, sample), residual=hint), time, condition)
        residuals = {}
        products = (*self.controlnet_down_blocks, self.controlnet_mid_block)
        for index, (result, product) in enumerate(zip([*results, x], products, strict=True)):
            # the mean first: it passes through a product as it is
            wanted = _channel_means(team, result) if self.pooled else result
            residuals[f"additional_residual_{index}"] = np.ascontiguousarray(product(team, wanted).transpose(0, 3, 1, 2))
        return residuals
