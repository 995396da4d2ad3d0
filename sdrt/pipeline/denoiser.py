"""One network call of the loop: the U-Net with all that is fixed for a run, and what ControlNets add at each step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from sdrt.arrays import Array, Float
from sdrt.backends.pool import CheckedNetwork
from sdrt.pipeline.conditions.control import Control, ControlSettings, residuals

__all__ = ["Conditions", "Denoiser"]


@dataclass(frozen=True, eq=False)
class Conditions:
    """What the networks of a run are told, row by row: the negative prompt's rows first, if there is guidance.

    Parameters
    ----------
    texts : mapping
        Inputs of the U-Net and of ControlNets: ``encoder_hidden_states``, and SDXL's ``text_embeds`` and ``time_ids``.
    unet : mapping
        Inputs of the U-Net alone: LCM's ``timestep_cond``.
    channels : float[n,c,h,w] or None
        Appended to every sample (in-painting).
    controls : sequence of (picture f[1,3,H,W], ControlSettings)
        For each ControlNet.
    """

    texts: Mapping[str, Float]
    unet: Mapping[str, Float] = field(default_factory=dict)
    channels: Float | None = None
    controls: Sequence[tuple[Float, ControlSettings]] = ()


@dataclass(frozen=True, eq=False)
class _Rows:
    """Networks that are bound to some rows of the batch."""

    rows: slice
    unet: CheckedNetwork
    controls: tuple[Control, ...]


class Denoiser:
    """A U-Net and its ControlNets under one run's conditions.

    Parameters
    ----------
    unet : CheckedNetwork
    controlnets : sequence of CheckedNetwork
        As many as ``conditions.controls``.
    conditions : Conditions
    num_images : int
    sequential : bool
        Whether rows go through the networks one after the other: a fraction of the memory, and slower.
    """

    def __init__(
        self, unet: CheckedNetwork, controlnets: Sequence[CheckedNetwork], conditions: Conditions, num_images: int, *, sequential: bool
    ) -> None:
        self.dtype = unet.float_dtype()
        self.total = len(conditions.texts["encoder_hidden_states"])
        self._copies = self.total // num_images
        self._channels = conditions.channels
        size = 1 if sequential else self.total
        self._groups = [self._bound(unet, controlnets, conditions, slice(start, start + size)) for start in range(0, self.total, size)]

    def __call__(self, sample: Float, timestep: float, index: int, num_calls: int) -> Float:
        """Ask for the prediction of every row.

        Parameters
        ----------
        sample : float[n,C,h,w]
            Scaled as the U-Net takes it.
        index, num_calls : int
            Which call of how many this is.

        Returns
        -------
        float[rows,Cout,h,w]
        """
        every = np.concatenate([sample.astype(self.dtype, copy=False)] * self._copies)
        wide = every
        if self._channels is not None:
            channels = np.concatenate([self._channels.astype(self.dtype, copy=False)] * self._copies)
            wide = np.concatenate([every, channels], axis=1)
        told = np.full(self.total, timestep, self.dtype)
        answers = []
        for group in self._groups:
            own = {"timestep": told[group.rows]}
            added = residuals(group.controls, index, num_calls, sample=every[group.rows], **own)
            answers.append(group.unet(sample=wide[group.rows], **own, **added)["noise_pred"])
        return answers[0] if len(answers) == 1 else np.concatenate(answers)

    def _bound(self, unet: CheckedNetwork, controlnets: Sequence[CheckedNetwork], conditions: Conditions, rows: slice) -> _Rows:
        texts = {name: value[rows].astype(self.dtype, copy=False) for name, value in conditions.texts.items()}
        own = {name: value[rows].astype(self.dtype, copy=False) for name, value in conditions.unet.items()}
        controls = []
        for network, (picture, settings) in zip(controlnets, conditions.controls, strict=True):
            known = {name: value for name, value in texts.items() if name in network.signature.input_names()}
            cond: Array = np.repeat(picture.astype(self.dtype, copy=False), len(texts["encoder_hidden_states"]), axis=0)
            controls.append(Control(network.bind(**known, controlnet_cond=cond), settings))
        return _Rows(rows, unet.bind(**texts, **own), tuple(controls))
