"""Apply the weights of tokens to the hidden states that the text encoder returns for them."""

from typing import Literal, TypeAlias, get_args

import numpy as np

from sdrt.arrays import F64, Float
from sdrt.errors import ArrayContractError, ConfigError
from sdrt.exact.mathematics import PLATFORM, Functions
from sdrt.values import Choice

__all__ = ["Emphasis", "check_emphasis", "emphasise"]

Emphasis: TypeAlias = Literal["original", "no_norm"]


def check_emphasis(emphasis: str) -> None:
    """Raise ConfigError for an unknown emphasis."""
    Choice(*get_args(Emphasis)).check("emphasis", emphasis, "choose one of those")


def emphasise(states: Float, weights: F64, emphasis: Emphasis = "original", functions: Functions = PLATFORM) -> Float:
    """Multiply each token's hidden state by its weight, and restore the mean of its chunk.

    With h the states of one chunk and w its weights: ``original`` returns h·w · mean(h) / mean(h·w), the mean taken over all tokens and
    features of the chunk; ``no_norm`` returns h·w. A chunk whose weights are all 1 is returned unchanged, to the bit.

    Parameters
    ----------
    states : float[c,L,D]
    weights : f64[c,L]
    emphasis : "original" or "no_norm"
    functions : Functions
        That means are computed with.

    Returns
    -------
    float[c,L,D] of the same dtype; ``states`` itself if every weight is 1

    Raises
    ------
    ConfigError : an unknown emphasis, or weights whose result is not finite or has no mean to restore
    ArrayContractError : arrays of other kinds or shapes

    Source: AUTOMATIC1111/stable-diffusion-webui 1.10.1, ``modules/sd_emphasis.py`` (``EmphasisOriginal``, the default there, and
    ``EmphasisOriginalNoNorm``).
    """
    check_emphasis(emphasis)
    _check_arrays(states, weights)
    weighted = np.flatnonzero((weights != 1).any(axis=1))
    if not weighted.size:
        return states
    result = states.copy()
    for k in weighted:
        with np.errstate(over="ignore", invalid="ignore"):
            chunk = states[k] * weights[k][:, None].astype(states.dtype)
        if emphasis == "original":
            before, after = (functions.mean(each, dtype=np.float64) for each in (states[k], chunk))
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                ratio = before / after
            if not np.isfinite(ratio):
                raise ConfigError(
                    f"weighted hidden states must keep a mean to restore, got {after:g} from weights of {weights[k].min():g} to "
                    f"{weights[k].max():g}; use milder weights, or emphasis='no_norm'"
                )
            with np.errstate(over="ignore", invalid="ignore"):
                chunk *= states.dtype.type(ratio)
        if not np.isfinite(chunk).all():
            raise ConfigError(
                f"weighted hidden states must stay finite, got weights of {weights[k].min():g} to {weights[k].max():g}; use milder weights"
            )
        result[k] = chunk
    return result


def _check_arrays(states: object, weights: object) -> None:
    if not (isinstance(states, np.ndarray) and states.dtype.kind == "f" and states.ndim == 3):
        raise ArrayContractError(f"states must be float[c,L,D], got {_kind_of(states)}; pass the text encoder's hidden states")
    if not (isinstance(weights, np.ndarray) and weights.dtype.kind == "f" and weights.shape == states.shape[:2]):
        raise ArrayContractError(f"weights must be float{list(states.shape[:2])}, got {_kind_of(weights)}; pass one for each token")


def _kind_of(value: object) -> str:
    return f"{value.dtype}{list(value.shape)}" if isinstance(value, np.ndarray) else type(value).__name__
