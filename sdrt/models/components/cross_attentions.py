"""The cross-attentions of a U-Net: their paths in the order in which diffusers counts them, their sizes, and inputs of image prompts.

IP-Adapters number them in this order: down, up, and the middle last, since that is where diffusers' class registers it.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sdrt.arrays import TensorSpec

__all__ = ["cross_attentions", "image_prompt_inputs", "level_sizes"]


def cross_attentions(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the paths of the modules that attend to the condition beside a self-attention, ``...attn2``.

    Parameters
    ----------
    config : mapping
        A U-Net's complete configuration.

    >>> tiny = {"down_block_types": ["CrossAttnDownBlock2D"], "up_block_types": ["CrossAttnUpBlock2D"], "mid_block_type": None}
    >>> cross_attentions({**tiny, "layers_per_block": 1, "transformer_layers_per_block": 1, "reverse_transformer_layers_per_block": None})
    ... # doctest: +NORMALIZE_WHITESPACE
    ('down_blocks.0.attentions.0.transformer_blocks.0.attn2', 'up_blocks.0.attentions.0.transformer_blocks.0.attn2',
     'up_blocks.0.attentions.1.transformer_blocks.0.attn2')
    """
    return tuple(_paths(config))


def _paths(config: Mapping[str, Any]) -> Iterator[str]:
    levels = len(config["down_block_types"])
    layers, depths = (_each(config[name], levels) for name in ("layers_per_block", "transformer_layers_per_block"))
    reverse = config["reverse_transformer_layers_per_block"]
    yield from _of_blocks("down_blocks", config["down_block_types"], layers, depths)
    upwards = [count + 1 for count in layers[::-1]]
    yield from _of_blocks("up_blocks", config["up_block_types"], upwards, depths[::-1] if reverse is None else reverse)
    if str(config["mid_block_type"]).endswith("CrossAttn"):
        yield from _of_blocks("mid_block", ["CrossAttn"], [1], depths[-1:], numbered=False)


def _of_blocks(
    place: str, types: Sequence[str], layers: Sequence[int], depths: Sequence[int | Sequence[int]], *, numbered: bool = True
) -> Iterator[str]:
    for block, (kind, count, depth) in enumerate(zip(types, layers, depths, strict=True)):
        if not kind.startswith("CrossAttn"):
            continue
        for index, inner in zip(range(count), _each(depth, count), strict=False):
            for layer in range(inner):
                yield f"{f'{place}.{block}' if numbered else place}.attentions.{index}.transformer_blocks.{layer}.attn2"


def _each(value: Any, count: int) -> list[Any]:
    return [value] * count if isinstance(value, int) else list(value)


def image_prompt_inputs(config: Mapping[str, Any], dtype: str) -> tuple[TensorSpec, ...]:
    """Return the inputs of a U-Net's IP-Adapters, three of each.

    Of p groups of tokens that are attended to apart from one another: the tokens [n,p,L,D]; how much each counts in each cross-attention,
    in the order of `cross_attentions` [n,p,A]; and where it counts, [n,p,H,W] of the picture's size, or [n,p,1,1] for everywhere.
    """
    specs: tuple[TensorSpec, ...] = ()
    for k in range(config.get("ip_adapters", 0)):
        specs += (
            TensorSpec(f"ip_adapter_tokens_{k}", dtype, (None, None, None, config["cross_attention_dim"])),
            TensorSpec(f"ip_adapter_scale_{k}", dtype, (None, None, len(cross_attentions(config)))),
            TensorSpec(f"ip_adapter_mask_{k}", dtype, (None, None, None, None)),
        )
    return specs


def level_sizes(height: int, width: int, levels: int, downsample_padding: int) -> dict[int, tuple[int, int]]:
    """Return the height and width of each level of a U-Net by their product, which is the length of the sequences that it attends from.

    Parameters
    ----------
    height, width : int
        Of the sample.
    levels : int
    downsample_padding : int
        1 rounds odd sizes up when they are halved, 0 down.

    >>> level_sizes(10, 5, 3, 1)
    {50: (10, 5), 15: (5, 3), 6: (3, 2)}
    """
    sizes: dict[int, tuple[int, int]] = {}
    for _ in range(levels):
        sizes.setdefault(height * width, (height, width))
        height, width = (height + downsample_padding) // 2, (width + downsample_padding) // 2
    return sizes
