"""What a guidance is: the rows that a denoiser is asked for, and how its predictions become the one that a sampler takes.

A batch of the denoiser holds the rows of a guidance one kind after the other, each with one sample for every image. The order of
:attr:`Guidance.rows` is that of the batch: conditions are laid out by it, predictions are split by it, and nothing else states it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from sdrt.arrays import Array, Float

__all__ = ["Call", "Guidance", "Guided", "Row", "split_rows"]

# What the rows of one kind are told.
Row: TypeAlias = Literal["negative", "prompt"]


@dataclass(frozen=True)
class Call:
    """Which denoiser call of a run is under way.

    Parameters
    ----------
    index, num_calls : int
        Counted from the call at which the run starts, so that ``index / num_calls`` is the share of the run that is over.
    timestep : float
        As the networks are told it, in steps of the training schedule.
    """

    index: int
    num_calls: int
    timestep: float


@dataclass(frozen=True, eq=False)
class Guided:
    """What a sampler's step takes.

    Parameters
    ----------
    output : float[n,C,h,w]
        The prediction that the step follows.
    unconditional : float[n,C,h,w] or None
        The prediction without the prompt, for samplers that look at both (CFG++).
    """

    output: Float
    unconditional: Float | None = None


class Guidance(Protocol):
    """A way to make one prediction of several."""

    @property
    def rows(self) -> tuple[Row, ...]:
        """The kinds of rows that it needs, in the order in which they stand in the batch."""

    @property
    def unet_inputs(self) -> Mapping[str, Array]:
        """What the U-Net is told of the guidance, beside the rows' conditions: one row for all."""

    def __call__(self, predictions: Float, call: Call, /) -> Guided:
        """Make one prediction.

        Parameters
        ----------
        predictions : float[rows * n,C,h,w]
            The denoiser's output, laid out by :attr:`rows`; left as it is.
        call : Call

        Returns
        -------
        Guided, of the dtype of ``predictions``
        """


def split_rows(predictions: Float, rows: Sequence[Row]) -> dict[Row, Float]:
    """Split a batch by its kinds of rows: views float[n,C,h,w].

    >>> import numpy as np
    >>> split_rows(np.array([1.0, 2.0, 3.0, 4.0]), ("negative", "prompt"))
    {'negative': array([1., 2.]), 'prompt': array([3., 4.])}
    """
    count = len(predictions) // len(rows)
    return {row: predictions[k * count : (k + 1) * count] for k, row in enumerate(rows)}
