"""Residual blocks of one size with what stands between them: what U-Net and ControlNet are stacked from."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from sdrt.arrays import Float
from sdrt.backends.numpy.denoiser_configs import TrunkConfig
from sdrt.backends.numpy.resnet import Downsample, Resnet, Upsample
from sdrt.backends.numpy.source import Source
from sdrt.backends.numpy.team import ThreadTeam
from sdrt.backends.numpy.transformer import Condition, CrossAttention, Transformer2D

__all__ = ["Stage"]


@dataclass(frozen=True)
class Stage:
    """Residual blocks of one size, each with a transformer behind it or not, and the way to the next size.

    Parameters
    ----------
    attentions : tuple of Transformer2D
        As many as resnets, or none. In the middle one fewer: a resnet, a transformer, a resnet.
    """

    resnets: tuple[Resnet, ...] = ()
    attentions: tuple[Transformer2D, ...] = ()
    downsampler: Downsample | None = None
    upsampler: Upsample | None = None

    @classmethod
    def load(
        cls,
        source: Source,
        config: TrunkConfig,
        level: int,
        sizes_in: Sequence[int],
        layers: Sequence[int],
        *,
        only_cross: bool,
        down: bool = False,
        up: bool = False,
    ) -> Self:
        """Blocks of the width that ``config`` has at ``level``.

        Parameters
        ----------
        sizes_in : sequence of int
            Channels that come into each residual block.
        layers : sequence of int
            Layers of each transformer.
        down, up : bool
            Whether the way to the next size is there.
        """
        channels, groups = config.channels[level], config.norm_num_groups
        return cls(
            resnets=tuple(
                Resnet.load(source.at("resnets", index), size_in, channels, groups, config.norm_eps, config.time_embedding_dim)
                for index, size_in in enumerate(sizes_in)
            ),
            attentions=tuple(
                Transformer2D.load(
                    source.at("attentions", index),
                    channels,
                    config.heads[level],
                    count,
                    config.cross_attention_dim,
                    groups,
                    linear=config.use_linear_projection,
                    only_cross=only_cross,
                )
                for index, count in enumerate(layers)
            ),
            downsampler=Downsample.load(source.at("downsamplers", 0), channels, config.downsample_padding) if down else None,
            upsampler=Upsample.load(source.at("upsamplers", 0), channels) if up else None,
        )

    def layer(self, team: ThreadTeam, index: int, x: Float, time: Float, condition: Condition) -> Float:
        """Residual block and transformer of this index."""
        x = self.resnets[index](team, x, time)
        return self.attentions[index](team, x, condition) if index < len(self.attentions) else x

    def cross_attentions(self) -> Iterator[CrossAttention]:
        for transformer in self.attentions:
            yield from transformer.cross_attentions()
