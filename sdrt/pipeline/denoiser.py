"""The denoiser of a run: a U-Net with its fixed inputs bound, and the ControlNets whose residuals are added at each call."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from sdrt.arrays import Array, Float
from sdrt.backends.pool import CheckedNetwork
from sdrt.guidance import Call, Row, text_row
from sdrt.pipeline.conditions.addition import Addition
from sdrt.pipeline.conditions.control import BoundControlNet, Control, residuals

__all__ = ["Conditions", "Denoiser"]


@dataclass(frozen=True, eq=False)
class Conditions:
    """The inputs of a run's networks other than sample and timestep.

    Parameters
    ----------
    texts : sequence of mappings
        One for each image, or one for all: for each row that has a text, inputs of the U-Net and of ControlNets, one row each:
        ``encoder_hidden_states``, and SDXL's ``text_embeds`` and ``time_ids``.
    unet : mapping
        Inputs of the U-Net alone, one row for all: LCM's ``timestep_cond``.
    channels : float[n,c,h,w] or None
        Appended to every sample (in-painting).
    controls : sequence of Control
        One for each ControlNet.
    additions : sequence of Addition
        Further inputs of the U-Net, by sample.
    """

    texts: Sequence[Mapping[Row, Mapping[str, Float]]]
    unet: Mapping[str, Float] = field(default_factory=dict)
    channels: Float | None = None
    controls: Sequence[Control] = ()
    additions: Sequence[Addition] = ()


@dataclass(frozen=True, eq=False)
class _BoundNetworks:
    """Networks with the conditions of a part of the batch bound: the samples at ``places``, each a kind of row and an image."""

    places: slice | list[int]
    samples: Sequence[tuple[Row, int]]
    unet: CheckedNetwork
    controls: tuple[BoundControlNet, ...]


class Denoiser:
    """A U-Net and its ControlNets under one run's conditions.

    Parameters
    ----------
    unets : mapping from each row to its CheckedNetwork
        Rows with one network go through it together.
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
        unets: Mapping[Row, CheckedNetwork],
        controlnets: Sequence[CheckedNetwork],
        conditions: Conditions,
        rows: Sequence[Row],
        num_images: int,
        *,
        sequential: bool,
    ) -> None:
        self._dtype = unets[rows[0]].float_dtype()
        self._additions = conditions.additions
        self._copies = len(rows)
        self._batch = len(rows) * num_images
        self._channels = None if conditions.channels is None else self._for_each_row(conditions.channels)
        samples = [(row, image) for row in rows for image in range(num_images)]
        texts = [conditions.texts[image % len(conditions.texts)][text_row(row)] for row, image in samples]
        # rows of one network attend to texts of one length
        kinds = [(id(unets[row]), text["encoder_hidden_states"].shape[1]) for (row, _), text in zip(samples, texts, strict=True)]
        self._groups: list[_BoundNetworks] = []
        order: list[int] = []
        for places in _places_by_kind(kinds):
            for part in [[place] for place in places] if sequential else [places]:
                together = {name: self._stacked(texts[place][name] for place in part) for name in texts[part[0]]}
                own: dict[str, Array] = {name: self._stacked([value] * len(part)) for name, value in conditions.unet.items()}
                there = [samples[place] for place in part]
                for addition in conditions.additions:
                    own |= addition.fixed(there, self._dtype)
                controls = self._bind_controls(controlnets, conditions.controls, there, together)
                unet = unets[there[0][0]].bind(**together, **own)
                self._groups.append(_BoundNetworks(_as_slice(part), there, unet, controls))
                order += part
        # where each sample's prediction stands among those of the groups; None: in the order of the samples
        self._order = None if order == sorted(order) else np.argsort(order)

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
            timestep = timesteps[group.places]
            added: dict[str, Array] = dict(residuals(group.controls, call, sample=samples[group.places], timestep=timestep))
            for addition in self._additions:
                added |= addition.varying(group.samples, call, self._dtype)
            predictions.append(group.unet(sample=inputs[group.places], timestep=timestep, **added)["noise_pred"])
        every = predictions[0] if len(predictions) == 1 else np.concatenate(predictions)
        return every if self._order is None else every[self._order]

    def _for_each_row(self, samples: Float) -> Float:
        return np.concatenate([samples.astype(self._dtype, copy=False)] * self._copies)

    def _stacked(self, rows: Iterable[Float]) -> Float:
        """Stack inputs of one row each."""
        return np.concatenate([row.astype(self._dtype, copy=False) for row in rows])

    def _bind_controls(
        self,
        controlnets: Sequence[CheckedNetwork],
        controls: Sequence[Control],
        samples: Sequence[tuple[Row, int]],
        texts: Mapping[str, Float],
    ) -> tuple[BoundControlNet, ...]:
        """Bind each ControlNet to those samples, by row and image, that it acts on; one that acts on none of them is left out."""
        bound = []
        for network, control in zip(controlnets, controls, strict=True):
            acting = [place for place, (row, _) in enumerate(samples) if control.settings.weights.acts_on(row)]
            if not acting:
                continue
            places = None if len(acting) == len(samples) else _as_slice(acting)
            known = {name: value for name, value in texts.items() if name in network.signature.input_names()}
            chosen = known if places is None else {name: value[places] for name, value in known.items()}
            own = control.inputs([samples[place][1] for place in acting], self._dtype)
            bound.append(BoundControlNet(network.bind(**chosen, **own), control.settings, places))
        return tuple(bound)


def _places_by_kind(kinds: Sequence[Hashable]) -> list[list[int]]:
    """Return the places of the samples of one kind, for each kind.

    >>> _places_by_kind([77, 154, 77])
    [[0, 2], [1]]
    """
    return [[place for place, each in enumerate(kinds) if each == kind] for kind in dict.fromkeys(kinds)]


def _as_slice(places: list[int]) -> slice | list[int]:
    """Return neighbouring places as a slice, which copies nothing."""
    first, stop = places[0], places[-1] + 1
    return slice(first, stop) if len(places) == stop - first else places
