"""Encode the chunks of several prompts in one call, and join each prompt's chunks again."""

from collections.abc import Callable, Sequence

import numpy as np

from sdrt.arrays import F64, I32, Float
from sdrt.exact.mathematics import PLATFORM, Functions
from sdrt.prompt.chunks import Chunks
from sdrt.prompt.emphasis import Emphasis, emphasise

__all__ = ["encode_prompts"]


def encode_prompts(
    encode: Callable[[I32], tuple[Float, Float]],
    prompts: Sequence[Chunks],
    empty: Chunks,
    emphasis: Emphasis = "original",
    min_chunks: int = 1,
    functions: Functions = PLATFORM,
) -> tuple[Float, Float]:
    """Encode prompts to hidden states of one common length, and to pooled states.

    Parameters
    ----------
    encode : callable, i32[m,L] -> float[m,L,D], float[m,P]
        The text encoder; called once, with the chunks of all prompts.
    prompts : sequence of n Chunks
    empty : Chunks
        The empty prompt: one chunk, which pads shorter prompts to the number of chunks of the longest.
    emphasis : "original" or "no_norm"
        How weights are applied to hidden states; pooled states are not weighted.
    min_chunks : int
        The smallest number of chunks to return.
    functions : Functions
        That means are computed with.

    Returns
    -------
    states : float[n, c·L, D]
        One row for each prompt, its chunks in sequence; c is the number of chunks of the longest prompt.
    pooled : float[n, P]
        The pooled state of each prompt's first chunk.
    """
    count = max(min_chunks, *(len(prompt.input_ids) for prompt in prompts))
    padded = [[prompt, *[empty] * (count - len(prompt.input_ids))] for prompt in prompts]
    input_ids: I32 = np.concatenate([chunks.input_ids for row in padded for chunks in row])
    weights: F64 = np.concatenate([chunks.weights for row in padded for chunks in row])
    hidden, pooled = encode(input_ids)
    states = emphasise(hidden, weights, emphasis, functions)
    return states.reshape(len(prompts), -1, states.shape[-1]), pooled[::count]
