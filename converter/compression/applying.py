"""The weights of a model, written in a smaller form by coremltools."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

from converter.annotations import annotate
from converter.compression.clustering import cluster
from converter.compression.weights import Weight
from converter.quiet import quiet
from converter.toolkit import toolkit

__all__ = ["Progress", "palettize", "prune", "quantize"]

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with what was done, how many of it, and of how many."""

_OPTIMIZE = "coremltools.optimize.coreml"
_SMALLEST_BLOCK = 8  # a scale of 16 bits for fewer weights of 4 bits makes 8 bits a weight the smaller


def palettize(model: Any, nbits: Mapping[str, int], progress: Progress | None = None) -> Any:
    """Each named weight as indices into its own palette of 2**nbits values.

    Parameters
    ----------
    model : coremltools.models.MLModel
    nbits : mapping of weights' names
    progress : called as each weight is done, or None

    Returns
    -------
    coremltools.models.MLModel
    """
    tools = toolkit(_OPTIMIZE)
    done: list[str] = []

    def config(name: str, bits: int) -> Any:
        def lut_function(weight: Any) -> Any:
            found = cluster(weight, bits)
            done.append(name)
            if progress is not None:
                progress(f"palette of {name}", len(done), len(nbits))
            return found

        return tools.OpPalettizerConfig(mode="custom", lut_function=lut_function, weight_threshold=0)

    return _applied(tools.palettize_weights, model, {name: config(name, bits) for name, bits in nbits.items()})


def quantize(model: Any, weights: Sequence[Weight], nbits: int, block_size: int) -> Any:
    """Each weight as int8 with a scale for each output channel, or as int4 with one for each block.

    A block is as long as divides the weight's inputs, at most ``block_size``, and as high and wide as a convolution's window; where it
    holds less than 8 weights, int8 takes no more room and is taken.
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
    return _applied(tools.linear_quantize_weights, model, configs)


def prune(model: Any, weights: Sequence[Weight], sparsity: float) -> Any:
    """Each weight with its smallest numbers left out."""
    tools = toolkit(_OPTIMIZE)
    configs = {weight.name: tools.OpMagnitudePrunerConfig(target_sparsity=sparsity, weight_threshold=0) for weight in weights}
    return _applied(tools.prune_weights, model, configs)


def _applied(function: Callable[[Any, Any], Any], model: Any, configs: Mapping[str, Any]) -> Any:
    tools = toolkit(_OPTIMIZE)
    with quiet():
        found = function(model, tools.OptimizationConfig(global_config=None, op_name_configs=dict(configs)))
    # coremltools 9 hands all of it on, and promises nothing; get_spec would give copies
    annotate(found._spec.description, model._spec.description)
    return found
