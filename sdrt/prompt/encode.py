"""Chunks of several prompts through the text encoder, and side by side again."""

from collections.abc import Callable, Sequence

import numpy as np

from sdrt.arrays import F64, I32, Float
from sdrt.prompt.chunks import Chunks
from sdrt.prompt.emphasis import Emphasis, emphasise

__all__ = ["encode_prompts"]


def encode_prompts(
    encode: Callable[[I32], tuple[Float, Float]], prompts: Sequence[Chunks], empty: Chunks, emphasis: Emphasis = "original", least: int = 1
) -> tuple[Float, Float]:
    """Hidden states of prompts, all of one length, and their pooled states.

    Parameters
    ----------
    encode : callable, i32[m,L] -> float[m,L,D], float[m,P]
        The text encoder; called once with the chunks of all prompts.
    prompts : sequence of n Chunks
    empty : Chunks
        The empty prompt: one chunk, of which a shorter prompt is given as many as it lacks.
    emphasis : "original" or "no_norm"
        How weights are applied; pooled states have none.
    least : int
        How many chunks a prompt has at the least.

    Returns
    -------
    states : float[n, c·L, D]
        A row a prompt, its chunks one behind the other; c is the longest prompt's number of chunks.
    pooled : float[n, P]
        Of each prompt's first chunk.
    """
    count = max(least, *(len(prompt.input_ids) for prompt in prompts))
    padded = [[prompt, *[empty] * (count - len(prompt.input_ids))] for prompt in prompts]
    input_ids: I32 = np.concatenate([chunks.input_ids for row in padded for chunks in row])
    weights: F64 = np.concatenate([chunks.weights for row in padded for chunks in row])
    hidden, pooled = encode(input_ids)
    states = emphasise(hidden, weights, emphasis)
    return states.reshape(len(prompts), -1, states.shape[-1]), pooled[::count]
