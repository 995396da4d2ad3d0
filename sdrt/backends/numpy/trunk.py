"""What U-Net and ControlNet have in common: embeddings, the first convolution, the way down and the middle."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from sdrt.arrays import Array, Float
from sdrt.backends.numpy.activations import silu
from sdrt.backends.numpy.adapter_features import add_feature
from sdrt.backends.numpy.conv import Conv3x3
from sdrt.backends.numpy.denoiser_configs import TrunkConfig
from sdrt.backends.numpy.embeddings import AddedEmbedding, TimeEmbedding, Timesteps
from sdrt.backends.numpy.source import Source
from sdrt.backends.numpy.stage import Stage
from sdrt.backends.numpy.team import ThreadTeam
from sdrt.backends.numpy.transformer import Condition
from sdrt.errors import ArrayContractError
from sdrt.models.components import ComponentName

__all__ = ["BoundInputs", "Trunk"]


@dataclass(frozen=True)
class BoundInputs:
    """What depends on the inputs alone that are fixed for a run; None for what is not fixed.

    Parameters
    ----------
    condition : Condition
        With the keys and values of every attention to it.
    added : float[n, time_size]
        SDXL's embedding of text and numbers.
    """

    condition: Condition | None = None
    added: Float | None = None


@dataclass(frozen=True)
class Trunk:
    """The common part of a denoising network."""

    component: ComponentName
    config: TrunkConfig
    conv_in: Conv3x3
    time_embedding: TimeEmbedding
    add_embedding: AddedEmbedding | None
    down_blocks: tuple[Stage, ...]
    mid_block: Stage

    @classmethod
    def load(cls, component: ComponentName, source: Source, config: TrunkConfig, guidance_size: int | None = None) -> Self:
        """Read it below diffusers' own names; ``guidance_size`` is the width of an embedded guidance scale."""
        first, size = config.channels[0], config.time_embedding_dim
        time_proj = Timesteps(first, config.flip_sin_to_cos, config.freq_shift)
        time, add = source.at("time_embedding"), source.at("add_embedding")
        return cls(
            component=component,
            config=config,
            conv_in=Conv3x3.load(source.at("conv_in"), config.in_channels, first),
            time_embedding=TimeEmbedding.load(time, time_proj, size, guidance_size),
            add_embedding=AddedEmbedding.load(component, add, config.added, size, time_proj) if config.added else None,
            down_blocks=tuple(_down_blocks(source, config)),
            mid_block=_mid_block(source.at("mid_block"), config),
        )

    def check_rows(self, inputs: Mapping[str, Array]) -> None:
        """Raise ArrayContractError unless all inputs have as many rows."""
        (first, *_), rows = inputs, {name: len(x) for name, x in inputs.items()}
        if others := [f"{name} has {count}" for name, count in rows.items() if count != rows[first]]:
            raise ArrayContractError(
                f"{self.component} input: rows differ: {first} has {rows[first]}, {', '.join(others)}; pass as many of each"
            )

    def bind(self, team: ThreadTeam, bound: BoundInputs, constants: Mapping[str, Array], other_stages: Iterable[Stage] = ()) -> BoundInputs:
        """Compute what depends on ``constants`` alone and is not bound yet; ``other_stages`` attend to the condition too."""
        self.check_rows(constants)
        condition, added = bound.condition, bound.added
        if condition is None and (states := constants.get("encoder_hidden_states")) is not None:
            attentions = [each for stage in (*self.down_blocks, self.mid_block, *other_stages) for each in stage.cross_attentions()]
            condition = Condition(states, {attention: attention.to_kv(team, states) for attention in attentions})
        if added is None and self.add_embedding is not None and {"text_embeds", "time_ids"} <= constants.keys():
            added = self.add_embedding(team, constants["text_embeds"], constants["time_ids"])
        return BoundInputs(condition, added)

    def condition(self, bound: BoundInputs, inputs: Mapping[str, Array]) -> Condition:
        return bound.condition or Condition(inputs["encoder_hidden_states"])

    def time(self, team: ThreadTeam, bound: BoundInputs, inputs: Mapping[str, Array], more: Float | None = None) -> Float:
        """float[n, time_size]: everything embedded as every residual block takes it, ``more`` added, silu applied."""
        time = self.time_embedding(team, inputs)
        if more is not None:
            time += more
        if bound.added is not None:
            time += bound.added
        elif self.add_embedding is not None:
            time += self.add_embedding(team, inputs["text_embeds"], inputs["time_ids"])
        silu(time, team.scratch, time, team.arithmetic.exponential)
        return time

    def down(
        self, team: ThreadTeam, x: Float, time: Float, condition: Condition, features: Sequence[Float] = ()
    ) -> tuple[Float, list[Float]]:
        """From what the first convolution made to the middle's result, and what each block on the way made, ``x`` first.

        Parameters
        ----------
        features : sequence of float[n, channels, height, width]
            Of T2I-Adapters, added at as many places, see `sdrt.models.components.feature_places`.
        """
        skips = [x]
        for level, (block, attends) in enumerate(zip(self.down_blocks, self.config.down_attention, strict=True)):
            for index in range(len(block.resnets)):
                x = block.layer(team, index, x, time, condition)
                skips.append(x)
            if attends:
                add_feature(x, features, level)
            if block.downsampler is not None:
                x = block.downsampler(team, x)
                skips.append(x)
            if not attends:
                add_feature(x, features, level)
        for index in range(len(self.mid_block.resnets)):
            x = self.mid_block.layer(team, index, x, time, condition)
        add_feature(x, features, len(self.down_blocks))
        return x, skips


def _down_blocks(source: Source, config: TrunkConfig) -> Iterator[Stage]:
    before = config.channels[0]
    for level, (channels, layers) in enumerate(zip(config.channels, config.layers, strict=True)):
        yield Stage.load(
            source.at("down_blocks", level),
            config,
            level,
            [before] + [channels] * (layers - 1),
            config.down_transformers[level][:layers] if config.down_attention[level] else (),
            only_cross=config.only_cross_attention[level],
            down=level < len(config.channels) - 1,
        )
        before = channels


def _mid_block(source: Source, config: TrunkConfig) -> Stage:
    channels = config.channels[-1]
    match config.mid:
        case None:
            return Stage()
        case "UNetMidBlock2D":
            # diffusers builds it with its first residual block alone
            return Stage.load(source, config, -1, [channels], (), only_cross=False)
    return Stage.load(source, config, -1, [channels, channels], config.down_transformers[-1][:1], only_cross=False)
