"""Sizes that a trace takes for given."""

import warnings

import torch

__all__ = ["fixed_size"]


def fixed_size(x: torch.Tensor, axis: int) -> int:
    """An axis's length as a number: a trace holds for that length alone wherever it depends on it."""
    with warnings.catch_warnings():
        # that the number is fixed is what is wanted
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        return int(x.shape[axis])
