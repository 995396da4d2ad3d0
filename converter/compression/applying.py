"""Rewrite the weights of a model in a smaller form, with coremltools."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

from converter.compression.clustering import cluster
from converter.compression.weights import Weight
from converter.metadata import annotate
from converter.tools import quiet, toolkit, validated_once

__all__ = ["Progress", "palettize", "prune", "quantize"]

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with a description of the finished item, the number of finished items, and the number of all items."""

_OPTIMIZE = "coremltools.optimize.coreml"
_SMALLEST_BLOCK = 8  # fewer 4-bit weights than this with a scale of 16 bits are no smaller than 8-bit ones


def palettize(model: Any, nbits: Mapping[str, int], progress: Progress | None = None) -> Any:
    """Replace each named weight by indices into its own palette of 2**nbits values.

    Parameters
    ----------
    model : coremltools.models.MLModel
    nbits : mapping from weights' names
    progress : called as each weight is finished, or None

    Returns
    -------
    coremltools.models.MLModel
    """
    tools = toolkit(_OPTIMIZE)
    done: list[str] = []

    def config(name: str, bits: int) -> Any:
        def lut_function(weight: Any) -> Any:
            palette = cluster(weight, bits)
            done.append(name)
            if progress is not None:
                progress(f"palette of {name}", len(done), len(nbits))
            return palette

        return tools.OpPalettizerConfig(mode="custom", lut_function=lut_function, weight_threshold=0)

    return _apply(tools.palettize_weights, model, {name: config(name, bits) for name, bits in nbits.items()})


def quantize(model: Any, weights: Sequence[Weight], nbits: int, block_size: int) -> Any:
    """Replace each weight by int8 with a scale for each output channel, or by int4 with a scale for each block.

    A block's length is the largest divisor of the weight's inputs up to ``block_size``, and its height and width those of a convolution's
    window; for blocks of fewer than 8 weights int8 is used, which is no larger.
    """
    tools = toolkit(_OPTIMIZE)
    config = partial(tools.OpLinearQuantizerConfig, mode="linear_symmetric", weight_threshold=0)
    configs = {}
    for weight in weights:
        inputs = weight.shape[weight.input_axis]
        block = next(size for size in range(min(block_size, inputs), 0, -1) if inputs % size == 0)
        window = math.prod(weight.shape[2:]) if len(weight.shape) == 4 else 1
        if nbits == 4 and block * window >= min(_SMALLEST_BLOCK, block_size):
            configs[weight.name] = config(dtype="int4", granularity="per_block", block_size=block)
        else:
            configs[weight.name] = config(dtype="int8", granularity="per_channel")
    return _apply(tools.linear_quantize_weights, model, configs)


def prune(model: Any, weights: Sequence[Weight], sparsity: float) -> Any:
    """Set the smallest numbers of each weight to zero."""
    tools = toolkit(_OPTIMIZE)
    configs = {weight.name: tools.OpMagnitudePrunerConfig(target_sparsity=sparsity, weight_threshold=0) for weight in weights}
    return _apply(tools.prune_weights, model, configs)


def _apply(function: Callable[[Any, Any], Any], model: Any, configs: Mapping[str, Any]) -> Any:
    tools = toolkit(_OPTIMIZE)
    with quiet():
        with validated_once():
            smaller = function(model, tools.OptimizationConfig(global_config=None, op_name_configs=dict(configs)))
        smaller._mil_program.validate()
    # Coremltools 9 copies all metadata, but does not promise to; get_spec would return copies.
    annotate(smaller._spec.description, model._spec.description)
    return smaller
