"""The protocol of guidance: which rows a denoiser predicts, and how they combine into the one prediction that a sampler takes.

A batch of the denoiser holds the rows of a guidance one kind after the other, each with one sample for every image. The order of
:attr:`Guidance.rows` alone defines that layout: conditions are laid out and predictions are split by it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from sdrt.arrays import Array, Float
from sdrt.errors import ArrayContractError, ConfigError
from sdrt.guidance.rows import ROWS, Row
from sdrt.guidance_options import AMOUNT, SCALE
from sdrt.values import Instance

__all__ = ["AMOUNT", "SCALE", "Call", "Guidance", "Guided", "check_call", "check_predictions", "split_rows"]


@dataclass(frozen=True)
class Call:
    """The position of a denoiser call in its run.

    Parameters
    ----------
    index, num_calls : int
        Counted from the call at which the run starts, so that ``index / num_calls`` is the fraction of the run that is done.
    timestep : float
        The networks' input, in steps of the training schedule.
    sample : float[n,C,h,w] or None
        What the networks predict for, in the model's own scale; None where no guidance looks at it.
    x0_weights : (a, b)
        Of the sample and of a prediction in the clean sample that the prediction amounts to: x0 = a * sample + b * prediction.
    memory : float[n,C,h,w] or None
        What the guidance of the call before handed on: `Guided.memory`. None at the first call of a run.
    """

    index: int
    num_calls: int
    timestep: float
    sample: Float | None = field(default=None, compare=False, repr=False)
    x0_weights: tuple[float, float] = field(default=(0.0, 1.0), compare=False, repr=False)
    memory: Float | None = field(default=None, compare=False, repr=False)

    def denoised(self, prediction: Float) -> Float:
        """Return the clean sample that a prediction amounts to, before any bound of the sampler.

        Raises
        ------
        ConfigError : the call has no sample of that shape
        """
        shape = getattr(self.sample, "shape", None)
        if self.sample is None or shape != prediction.shape:
            raise ConfigError(f"call.sample must be an array of the prediction's shape, {list(prediction.shape)}, got {shape}; pass it")
        a, b = self.x0_weights
        x0: Float = prediction * b + self.sample.astype(prediction.dtype, copy=False) * a
        return x0


@dataclass(frozen=True, eq=False)
class Guided:
    """The predictions that a sampler's step takes.

    Parameters
    ----------
    output : float[n,C,h,w]
        The prediction that the step follows.
    unconditional : float[n,C,h,w] or None
        The prediction without the prompt, for samplers that use both (CFG++).
    memory : float[n,C,h,w] or None
        What the next call's guidance is handed as `Call.memory`: guidance is a pure function, and a run keeps its state.
    """

    output: Float
    unconditional: Float | None = None
    memory: Float | None = None


class Guidance(Protocol):
    """Combine the predictions of several rows into one."""

    @property
    def rows(self) -> tuple[Row, ...]:
        """The kinds of rows that it needs, in their order in the batch."""

    @property
    def unet_inputs(self) -> Mapping[str, Array]:
        """Further inputs of the U-Net, one row for all: LCM's embedded scale."""

    def __call__(self, predictions: Float, call: Call, /) -> Guided:
        """Combine the predictions.

        Parameters
        ----------
        predictions : float[rows * n,C,h,w]
            The denoiser's output, laid out by :attr:`rows`; not modified.
        call : Call

        Returns
        -------
        Guided, of the dtype of ``predictions``
        """


def check_call(call: object) -> Call:
    """Return a call, or raise ConfigError for anything else."""
    checked: Call = Instance(Call).check("call", call)
    return checked


def check_predictions(predictions: object, rows: int = 1) -> Float:
    """Return what a denoiser predicted, checked.

    Raises
    ------
    ArrayContractError : no array of floats, or one that does not have the same number of images in each kind of row
    """
    if not (isinstance(predictions, np.ndarray) and predictions.dtype.kind == "f" and predictions.ndim and len(predictions) % rows == 0):
        got = f"{predictions.dtype}{list(predictions.shape)}" if isinstance(predictions, np.ndarray) else type(predictions).__name__
        raise ArrayContractError(f"predictions must be float[{rows} * n,C,h,w], got {got}; pass the denoiser's output for every row")
    return predictions


def split_rows(predictions: Float, rows: Sequence[Row]) -> dict[Row, Float]:
    """Split a batch by its kinds of rows, into views float[n,C,h,w].

    Raises
    ------
    ConfigError : unknown kinds of rows
    ArrayContractError : see `check_predictions`

    >>> import numpy as np
    >>> split_rows(np.array([1.0, 2.0, 3.0, 4.0]), ("negative", "prompt"))
    {'negative': array([1., 2.]), 'prompt': array([3., 4.])}
    """
    kinds: tuple[Row, ...] = ROWS.check("rows", rows)
    count = len(check_predictions(predictions, len(kinds))) // len(kinds)
    return {row: predictions[k * count : (k + 1) * count] for k, row in enumerate(kinds)}
