"""The denoiser of a run: a U-Net with its fixed inputs bound, and the ControlNets whose residuals are added at each call."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from sdrt.arrays import Array, Float
from sdrt.backends.pool import CheckedNetwork
from sdrt.guidance import Call, Row
from sdrt.pipeline.conditions.control import BoundControlNet, Control, residuals

__all__ = ["Conditions", "Denoiser"]


@dataclass(frozen=True, eq=False)
class Conditions:
    """The inputs of a run's networks other than sample and timestep.

    Parameters
    ----------
    texts : mapping
        For each row of the guidance, inputs of the U-Net and of ControlNets, one row each: ``encoder_hidden_states``, and SDXL's
        ``text_embeds`` and ``time_ids``.
    unet : mapping
        Inputs of the U-Net alone, one row for all: LCM's ``timestep_cond``.
    channels : float[n,c,h,w] or None
        Appended to every sample (in-painting).
    controls : sequence of Control
        One for each ControlNet.
    """

    texts: Mapping[Row, Mapping[str, Float]]
    unet: Mapping[str, Float] = field(default_factory=dict)
    channels: Float | None = None
    controls: Sequence[Control] = ()


@dataclass(frozen=True, eq=False)
class _BoundNetworks:
    """Networks with the conditions of a slice of the batch bound."""

    rows: slice
    unet: CheckedNetwork
    controls: tuple[BoundControlNet, ...]


class Denoiser:
    """A U-Net and its ControlNets under one run's conditions.

    Parameters
    ----------
    unet : CheckedNetwork
    controlnets : sequence of CheckedNetwork
        As many as ``conditions.controls``.
    conditions : Conditions
    rows : sequence of Row
        The rows of the guidance. The batch holds one kind after the other, each with a sample for every image.
    num_images : int
    sequential : bool
        Whether samples go through the networks one after the other, which takes less memory and is slower.
    """

    def __init__(
        self,
        unet: CheckedNetwork,
        controlnets: Sequence[CheckedNetwork],
        conditions: Conditions,
        rows: Sequence[Row],
        num_images: int,
        *,
        sequential: bool,
    ) -> None:
        self._dtype = unet.float_dtype()
        self._copies = len(rows)
        self._batch = len(rows) * num_images
        self._channels = None if conditions.channels is None else self._for_each_row(conditions.channels)
        self._groups: list[_BoundNetworks] = []
        # one batch attends to texts of one length
        lengths = {conditions.texts[row]["encoder_hidden_states"].shape[1] for row in rows}
        first = 0
        for block in [rows] if len(lengths) == 1 else [(row,) for row in rows]:
            names = conditions.texts[block[0]]
            texts = {name: self._repeated((conditions.texts[row][name] for row in block), num_images) for name in names}
            own = {name: self._repeated([value] * len(block), num_images) for name, value in conditions.unet.items()}
            count = len(block) * num_images
            for start in range(0, count, size := 1 if sequential else count):
                taken, stop = slice(start, start + size), first + start + size
                sliced = [{name: value[taken] for name, value in inputs.items()} for inputs in (texts, own)]
                bound = self._bind(unet, controlnets, conditions.controls, texts=sliced[0], own=sliced[1])
                self._groups.append(_BoundNetworks(slice(stop - size, stop), *bound))
            first += count

    def __call__(self, sample: Float, call: Call) -> Float:
        """Predict every row.

        Parameters
        ----------
        sample : float[n,C,h,w]
            Already scaled for the U-Net.
        call : Call

        Returns
        -------
        float[rows * n,Cout,h,w]
        """
        samples = self._for_each_row(sample)
        inputs = samples if self._channels is None else np.concatenate([samples, self._channels], axis=1)
        timesteps = np.full(self._batch, call.timestep, self._dtype)
        predictions = []
        for group in self._groups:
            timestep = timesteps[group.rows]
            added = residuals(group.controls, call, sample=samples[group.rows], timestep=timestep)
            predictions.append(group.unet(sample=inputs[group.rows], timestep=timestep, **added)["noise_pred"])
        return predictions[0] if len(predictions) == 1 else np.concatenate(predictions)

    def _for_each_row(self, samples: Float) -> Float:
        return np.concatenate([samples.astype(self._dtype, copy=False)] * self._copies)

    def _repeated(self, rows: Iterable[Float], num_images: int) -> Float:
        """Repeat one row of each kind for every image of the batch."""
        return np.concatenate([np.repeat(row.astype(self._dtype, copy=False), num_images, axis=0) for row in rows])

    def _bind(
        self,
        unet: CheckedNetwork,
        controlnets: Sequence[CheckedNetwork],
        controls: Sequence[Control],
        *,
        texts: Mapping[str, Float],
        own: Mapping[str, Float],
    ) -> tuple[CheckedNetwork, tuple[BoundControlNet, ...]]:
        bound = []
        for network, control in zip(controlnets, controls, strict=True):
            known = {name: value for name, value in texts.items() if name in network.signature.input_names()}
            count = len(texts["encoder_hidden_states"])
            cond: Array = np.repeat(control.picture.astype(self._dtype, copy=False), count, axis=0)
            bound.append(BoundControlNet(network.bind(**known, controlnet_cond=cond), control.settings))
        return unet.bind(**texts, **own), tuple(bound)
