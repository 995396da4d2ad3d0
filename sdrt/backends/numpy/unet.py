"""UNet2DConditionModel: the common trunk, and blocks on the way up, each fed with what the way down left behind."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Self

import numpy as np

from sdrt.arrays import Array, Float
from sdrt.backends.component_options import ComponentOptions
from sdrt.backends.numpy.adapter_features import adapter_features
from sdrt.backends.numpy.blocks import ChangeBlock, with_blocks
from sdrt.backends.numpy.conv import Conv3x3, padded_copy
from sdrt.backends.numpy.decoupled_attention import with_adapters, with_keys_and_values
from sdrt.backends.numpy.denoiser_configs import UNetConfig
from sdrt.backends.numpy.freeu import FreeUStage, freeu_stages
from sdrt.backends.numpy.identity_attention import with_identity
from sdrt.backends.numpy.image_prompts import ImagePrompt, image_prompts, names_of_image_prompts
from sdrt.backends.numpy.norm import GroupNorm
from sdrt.backends.numpy.source import Source
from sdrt.backends.numpy.stage import Stage
from sdrt.backends.numpy.team import ThreadTeam
from sdrt.backends.numpy.token_merging import MergingBlock
from sdrt.backends.numpy.transformer import Condition, TransformerBlock
from sdrt.backends.numpy.trunk import BoundInputs, Trunk
from sdrt.errors import ArrayContractError
from sdrt.models.components.cross_attentions import level_sizes

__all__ = ["UNet"]


@dataclass(frozen=True)
class UNet:
    """The network.

    Parameters
    ----------
    freeu : tuple of FreeUStage
        What FreeU does in the first stages of the way up; empty without it.
    merging : frozenset of str
        The paths of the self-attentions in which tokens are merged where that is asked for.
    bound : BoundInputs
        What a run's constants have become, see `with_constants`.
    adapters : int
        The IP-Adapters beside it.
    images : tuple of ImagePrompt
        What these attend to, with their keys and values, where it is fixed for a run.
    """

    trunk: Trunk
    center_input_sample: bool
    up_blocks: tuple[Stage, ...]
    conv_norm_out: GroupNorm
    conv_out: Conv3x3
    freeu: tuple[FreeUStage, ...] = ()
    merging: frozenset[str] = frozenset()
    bound: BoundInputs = field(default_factory=BoundInputs)
    adapters: int = 0
    images: tuple[ImagePrompt, ...] = ()

    @classmethod
    def load(cls, source: Source, config: UNetConfig) -> Self:
        plain = cls.plain(source, config)
        if not config.ip_adapters:
            return plain
        trunk, rest = plain.trunk, (config.ip_adapters, config.cross_attentions, config.cross_attention_dim)
        (mid_block,) = with_adapters([trunk.mid_block], "mid_block", source, *rest)
        return replace(
            plain,
            trunk=replace(trunk, down_blocks=with_adapters(trunk.down_blocks, "down_blocks", source, *rest), mid_block=mid_block),
            up_blocks=with_adapters(plain.up_blocks, "up_blocks", source, *rest),
            adapters=config.ip_adapters,
        )

    @classmethod
    def plain(cls, source: Source, config: UNetConfig) -> Self:
        """Load it without the IP-Adapters beside it."""
        first = config.channels[0]
        return cls(
            trunk=Trunk.load("unet", source, config, config.time_cond_proj_dim),
            center_input_sample=config.center_input_sample,
            up_blocks=tuple(_up_blocks(source, config)),
            conv_norm_out=GroupNorm.load(source.at("conv_norm_out"), first, config.norm_num_groups, config.norm_eps),
            conv_out=Conv3x3.load(source.at("conv_out"), first, config.out_channels),
            merging=frozenset(config.finest_self_attentions),
        )

    def with_options(self, options: ComponentOptions) -> Self:
        """Return the U-Net that these options make of this one, which has none, with its weights."""
        changed = replace(self, freeu=freeu_stages(options.freeu))
        perturbed, ratio = frozenset(options.identity_attention), options.token_merging
        merging = self.merging if ratio else frozenset()

        def change(path: str, block: TransformerBlock) -> TransformerBlock:
            block = with_identity(block) if f"{path}.attn1" in perturbed else block
            return MergingBlock.of(block, ratio) if f"{path}.attn1" in merging else block

        return changed._with_blocks(change) if perturbed or merging else changed

    def _with_blocks(self, change: ChangeBlock) -> Self:
        trunk = self.trunk
        down_blocks = tuple(with_blocks(stage, f"down_blocks.{number}", change) for number, stage in enumerate(trunk.down_blocks))
        mid_block = with_blocks(trunk.mid_block, "mid_block", change)
        up_blocks = tuple(with_blocks(stage, f"up_blocks.{number}", change) for number, stage in enumerate(self.up_blocks))
        return replace(self, trunk=replace(trunk, down_blocks=down_blocks, mid_block=mid_block), up_blocks=up_blocks)

    def with_constants(self, team: ThreadTeam, constants: Mapping[str, Array]) -> Self:
        """Compute keys and values of condition and image prompts, and SDXL's added embedding, as far as the constants decide them."""
        images = self.images
        if self.adapters and not images and constants.keys() >= names_of_image_prompts(self.adapters):
            stages = (*self.trunk.down_blocks, self.trunk.mid_block, *self.up_blocks)
            attentions = [each for stage in stages for each in stage.cross_attentions()]
            images = with_keys_and_values(team, image_prompts(constants, self.adapters), attentions)
        return replace(self, bound=self.trunk.bind(team, self.bound, constants, self.up_blocks), images=images)

    def run(self, team: ThreadTeam, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """All inputs of the signature -> `noise_pred`.

        Raises
        ------
        ArrayContractError : the inputs disagree on the number of rows, or a residual has another size than what it is added to
        """
        trunk, bound = self.trunk, self.bound
        trunk.check_rows(inputs)
        condition, time = self._seeing(trunk.condition(bound, inputs), inputs), trunk.time(team, bound, inputs)
        sample = inputs["sample"].transpose(0, 2, 3, 1)
        if self.center_input_sample:
            sample = 2.0 * sample - 1.0
        x, skips = trunk.down(team, trunk.conv_in(team, padded_copy(team, sample)), time, condition, adapter_features(inputs))
        if "additional_residual_0" in inputs:
            x = _add_residuals(x, skips, [inputs[f"additional_residual_{index}"] for index in range(len(skips) + 1)])
        for block, freeu in zip_longest(self.up_blocks, self.freeu):
            for index in range(len(block.resnets)):
                skip = skips.pop()
                joined = np.concatenate([x, skip], axis=3) if freeu is None else freeu(team, x, skip)
                x = block.layer(team, index, joined, time, condition)
            if block.upsampler is not None:
                # the size on the way down, which is not twice this one where that was odd
                x = block.upsampler(team, x, skips[-1].shape[1:3])
        x = self.conv_out(team, self.conv_norm_out.silu_padded(team, x))
        return {"noise_pred": np.ascontiguousarray(x.transpose(0, 3, 1, 2))}

    def _seeing(self, condition: Condition, inputs: Mapping[str, Array]) -> Condition:
        """Return the condition with the image prompts, their masks at the sizes of this sample."""
        if not self.adapters:
            return condition
        config = self.trunk.config
        height, width = inputs["sample"].shape[2:]
        sizes = level_sizes(height, width, len(config.channels), config.downsample_padding)
        return replace(condition, images=tuple(each.at(sizes) for each in self.images or image_prompts(inputs, self.adapters)))


def _add_residuals(x: Float, skips: list[Float], residuals: Sequence[Float]) -> Float:
    """Add a ControlNet's residuals to the skips of the way down, in place, and to the middle's result, which is returned.

    Parameters
    ----------
    residuals : sequence of float[n, channels, height, width], or of height and width 1 where the ControlNet pools
    """
    whole = [residual.transpose(0, 2, 3, 1) for residual in residuals]
    for index, (target, residual) in enumerate(zip([*skips, x], whole, strict=True)):
        if residual.shape[1:3] not in (target.shape[1:3], (1, 1)):
            (height, width), got = target.shape[1:3], residual.shape[1:3]
            raise ArrayContractError(
                f"unet input: additional_residual_{index} is {got[0]}x{got[1]} pixels, but is added to {height}x{width}; "
                "run the ControlNet on this sample"
            )
    # the middle's result may be the last of the skips itself, where a model has no middle
    x = x + whole[-1]
    for skip, residual in zip(skips, whole, strict=False):
        skip += residual
    return x


def _up_blocks(source: Source, config: UNetConfig) -> Iterator[Stage]:
    levels = len(config.channels)
    before = config.channels[-1]
    for step in range(levels):
        level = levels - 1 - step
        channels, count = config.channels[level], config.layers[level] + 1
        # what the way down left behind: this level's blocks, then what came into the level
        skips = [channels] * (count - 1) + [config.channels[max(0, level - 1)]]
        yield Stage.load(
            source.at("up_blocks", step),
            config,
            level,
            [(channels if index else before) + skip for index, skip in enumerate(skips)],
            config.up_transformers[step][:count] if config.up_attention[step] else (),
            only_cross=config.only_cross_attention[level],
            up=level > 0,
        )
        before = channels
