"""The way down and the middle, which a U-Net and a ControlNet share: names, and what their shapes say of the configuration.

Source: ``ldm/modules/diffusionmodules/openaimodel.py`` of CompVis/stable-diffusion (the writer's names), ``models/unets/unet_2d_blocks.py``
of diffusers 0.42.1 (ours). Level k of the way down is ``input_blocks`` 1 + k·(layers + 1) and the following; block 0 is the first
convolution, and the last block of each level but the last one halves the picture.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

from sdrt.errors import ModelError

__all__ = ["Depth", "DownPath", "Shapes", "as_config", "block_name", "level_depth", "shared_name", "transformer_depths"]

# Shapes by stored name, the prefix of the component cut off.
Shapes: TypeAlias = Mapping[str, tuple[int, ...]]

_STEM = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "label_emb.0.0": "add_embedding.linear_1",
    "label_emb.0.2": "add_embedding.linear_2",
    "input_blocks.0.0": "conv_in",
}

_RESNET = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}

_DOWN = re.compile(r"input_blocks\.(\d+)\.\d+\.(.+)")
_MIDDLE = re.compile(r"middle_block\.(\d+)\.(.+)")
_RESNET_CONV = re.compile(r"input_blocks\.(\d+)\.0\.in_layers\.2\.weight")
_DEPTH = re.compile(r"(input_blocks|middle_block|output_blocks)\.(\d+)\.(?:1\.)?transformer_blocks\.(\d+)\.norm1\.weight")
# Whether transformers project by matrices, by the width of the texts: 1.x; 2.x, XL's refiner and XL.
_LINEAR = {768: False, 1024: True, 1280: True, 2048: True}
_XL_LEVELS = 3
_HEAD_CHANNELS = 64  # of each head in Stable Diffusion 2.x and XL; 1.x has 8 heads at every level instead


def block_name(rest: str, at: int) -> str:
    """Return the name below a level of the module in its block ``at``: a residual block, a sampler, or else a transformer.

    >>> block_name("emb_layers.1.weight", 0), block_name("op.bias", 2), block_name("proj_in.weight", 1)
    ('resnets.0.time_emb_proj.weight', 'downsamplers.0.conv.bias', 'attentions.1.proj_in.weight')
    """
    module, _, kind = rest.rpartition(".")
    if module in _RESNET:
        return f"resnets.{at}.{_RESNET[module]}.{kind}"
    if module in ("op", "conv"):
        return f"{'downsamplers' if module == 'op' else 'upsamplers'}.0.conv.{kind}"
    return f"attentions.{at}.{rest}"


def shared_name(stored: str, layers: int) -> str | None:
    """Return the canonical name of a tensor of the stem, the way down or the middle; None if it is of none of them.

    >>> shared_name("input_blocks.4.0.in_layers.2.weight", layers=2), shared_name("middle_block.2.out_layers.0.bias", layers=2)
    ('down_blocks.1.resnets.0.conv1.weight', 'mid_block.resnets.1.norm2.bias')
    """
    module, _, kind = stored.rpartition(".")
    if module in _STEM:
        return f"{_STEM[module]}.{kind}"
    if match := _DOWN.fullmatch(stored):
        level, at = divmod(int(match[1]) - 1, layers + 1)
        return f"down_blocks.{level}.{block_name(match[2], at)}"
    if match := _MIDDLE.fullmatch(stored):
        # residual block, transformer, residual block
        return f"mid_block.{block_name(match[2], int(match[1]) // 2)}"
    return None


# Transformer blocks in each transformer of a level: one number where all have as many, 0 where there are none.
Depth: TypeAlias = int | tuple[int, ...]


def level_depth(file: Path, depths: Sequence[int]) -> Depth:
    """Return how deep the transformers of a level are.

    Raises
    ------
    ModelError : some of its blocks have a transformer and some have none

    >>> level_depth(Path("x"), [2, 2]), level_depth(Path("x"), [4, 4, 10])
    (2, (4, 4, 10))
    """
    if len(set(depths)) == 1:
        return depths[0]
    if 0 in depths:
        raise ModelError(
            f"{file}: a level has {list(depths)} transformer blocks; in a U-Net of Stable Diffusion all blocks of a level have "
            "transformers, or none: not supported"
        )
    return tuple(depths)


@dataclass(frozen=True)
class DownPath:
    """What the shapes of the way down say.

    Parameters
    ----------
    widths : tuple of int
        Channels of each level.
    layers : int
        Residual blocks of a level.
    depths : tuple of Depth
        Of each level.
    middle : str or None
        diffusers' name for its kind: with a transformer, one residual block alone (SSD-1B), or none at all (BK-SDM's small models).
    middle_depth : int
        Transformer blocks in the middle.
    cross_attention_dim : int
    linear : bool
        Whether transformers project by matrices (2.x, XL) instead of convolutions over one pixel (1.x).
    """

    widths: tuple[int, ...]
    layers: int
    depths: tuple[Depth, ...]
    middle: str | None
    middle_depth: int
    cross_attention_dim: int
    linear: bool

    @classmethod
    def read(cls, file: Path, shapes: Shapes, *, linear: bool | None = None) -> "DownPath":
        """Read it from the shapes of a U-Net or a ControlNet.

        Parameters
        ----------
        file : Path
            For messages.
        shapes : mapping
        linear : bool or None
            Whether transformers project by matrices, where it is known: which of the two a file holds says nothing, as they are the same
            numbers, but the number of heads goes with it. None: by the width of the texts, or by the shape.

        Raises
        ------
        ModelError : the levels are not alike, or there is no cross-attention: another architecture
        """
        widths = {int(match[1]): shape[0] for name, shape in shapes.items() if (match := _RESNET_CONV.fullmatch(name))}
        depths = transformer_depths(shapes)
        downsamplers = [block for block in range(1, max(widths, default=0)) if f"input_blocks.{block}.0.op.weight" in shapes]
        edges = [0, *downsamplers, max(widths, default=0) + 1]
        levels = [range(begin + 1, end) for begin, end in pairwise(edges)]
        kinds = [{widths.get(block) for block in level} for level in levels]
        attended = next((shape for name, shape in shapes.items() if name.endswith(".transformer_blocks.0.attn2.to_k.weight")), None)
        project = next((shape for name, shape in shapes.items() if name.endswith(".proj_in.weight")), None)
        if (
            any(len(kind) != 1 or None in kind for kind in kinds)
            or len({len(level) for level in levels}) != 1
            or attended is None
            or project is None
        ):
            raise ModelError(
                f"{file}: its levels have {[len(level) for level in levels]} blocks, of {[len(kind) for kind in kinds]} kinds; in a U-Net "
                "of Stable Diffusion those of a level are alike, and some have a transformer: not supported"
            )
        found = cls(
            widths=tuple(width or 0 for [width] in kinds),
            layers=len(levels[0]),
            depths=tuple(level_depth(file, [depths.get(f"input_blocks.{block}", 0) for block in level]) for level in levels),
            middle=_middle(shapes),
            middle_depth=depths.get("middle_block.1", 0),
            cross_attention_dim=attended[1],
            linear=_LINEAR.get(attended[1], len(project) == 2) if linear is None else linear,
        )
        if not found.middle_is_known:
            raise ModelError(
                f"{file}: has {found.depths[-1]} transformer blocks in its last level and {found.middle_depth} in the middle; in a U-Net "
                "of Stable Diffusion the middle has a transformer, as deep as that level's: not supported"
            )
        return found

    @property
    def middle_is_known(self) -> bool:
        """Whether a published model has such a middle: others have lost theirs.

        Pruned models of one residual block a level have none (BK-SDM, KOALA), those of Segmind after XL keep its first residual block.
        """
        match self.middle:
            case None:
                return self.layers == 1
            case "UNetMidBlock2D":
                return self.linear and len(self.widths) == _XL_LEVELS
        return self.middle_depth > 0 and self.depths[-1] in (0, self.middle_depth)

    def config(self) -> dict[str, Any]:
        """Return the keys of a configuration that follow from it."""
        last = self.depths[-1] or self.middle_depth or 1
        depths = [*(depth or 1 for depth in self.depths[:-1]), last]
        used = {depth for depth in (*self.depths, self.middle_depth) if depth}
        return {
            "block_out_channels": list(self.widths),
            "layers_per_block": self.layers,
            "down_block_types": ["CrossAttnDownBlock2D" if depth else "DownBlock2D" for depth in self.depths],
            "mid_block_type": self.middle,
            "transformer_layers_per_block": last if used <= {last} and isinstance(last, int) else [as_config(depth) for depth in depths],
            "cross_attention_dim": self.cross_attention_dim,
            "use_linear_projection": self.linear,
            # diffusers' name for the number of heads
            "attention_head_dim": [max(width // _HEAD_CHANNELS, 1) for width in self.widths] if self.linear else 8,
        }


def as_config(depth: Depth) -> int | list[int]:
    """Return a depth as a configuration holds it."""
    return depth if isinstance(depth, int) else list(depth)


def _middle(shapes: Shapes) -> str | None:
    if any(name.startswith("middle_block.1.") for name in shapes):
        return "UNetMidBlock2DCrossAttn"
    return "UNetMidBlock2D" if any(name.startswith("middle_block.") for name in shapes) else None


def transformer_depths(shapes: Shapes) -> dict[str, int]:
    """How many transformer blocks stand in each block that has some: ``{"input_blocks.1": 1, "middle_block.1": 1}``."""
    depths: dict[str, int] = {}
    for name in shapes:
        if match := _DEPTH.fullmatch(name):
            block = f"{match[1]}.{match[2]}"
            depths[block] = max(depths.get(block, 0), int(match[3]) + 1)
    return depths
