"""One step of the loop, as its caller sees it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args, overload

from sdrt.arrays import Float
from sdrt.errors import ConfigError
from sdrt.schedulers import State
from sdrt.values import Choice, Integer

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["DecodeLatents", "PreviewKind", "Step"]

# Decodes each sample to a picture, float[n,C,h,w] -> n pictures; the number is the index of the first one in the call.
DecodeLatents: TypeAlias = "Callable[[Float, int], list[Image]]"

PreviewKind: TypeAlias = Literal["vae"]

_KIND = Choice(*get_args(PreviewKind))


@dataclass(frozen=True, eq=False, repr=False)
class Step:
    """One completed network call.

    Parameters
    ----------
    index : int
        Counted from 0.
    num_steps : int
        Network calls in the whole run; more than ``num_inference_steps`` for schedulers that call twice.
    timestep : float
        The noise level that the network saw, in steps of the training schedule.
    latents : float[n,C,h,w]
        The sample after the step, read-only, in the scale x = alpha * x0 + sigma * noise.
    seconds : float
        Time of the network call and the sampler's step, without opening networks.
    """

    index: int
    num_steps: int
    timestep: float
    latents: Float
    seconds: float
    _state: State = field(repr=False)
    _decode: DecodeLatents = field(repr=False)

    @cached_property
    def x0(self) -> Float:
        """The clean latents that the networks predicted in this step: float[n,C,h,w], computed when first read."""
        return self._state.x0

    @cached_property
    def preview(self) -> "list[Image]":
        """The predicted ``x0`` of every image, decoded; runs the decoder, once, and the safety checker where the pipeline uses one."""
        return self.decode()

    @overload
    def decode(self, image: None = None, kind: PreviewKind = "vae") -> "list[Image]": ...
    @overload
    def decode(self, image: int, kind: PreviewKind = "vae") -> "Image": ...
    def decode(self, image: int | None = None, kind: PreviewKind = "vae") -> "list[Image] | Image":
        """Decode the prediction of this step, ``x0``.

        Parameters
        ----------
        image : int or None
            The image of the batch; None: all of them.
        kind : "vae"
            The decoder: the model's own.

        Returns
        -------
        list of PIL.Image.Image, or one image if ``image`` is set

        Raises
        ------
        ConfigError : ``image`` is not in the batch, or ``kind`` is unknown
        """
        _KIND.check("kind", kind, "leave it out")
        if image is None:
            return self._decode(self.x0, 0)
        count = len(self.latents)
        image = Integer(minimum=0, maximum=count - 1).check("image", image, f"leave it out for all {count}")
        return self._decode(self.x0[image : image + 1], image)[0]

    def __reduce__(self) -> str:
        raise ConfigError("a step cannot be pickled or copied, as it holds its networks; keep its latents, or its x0")

    def __repr__(self) -> str:
        shape = ",".join(map(str, self.latents.shape))
        return f"Step({self.index + 1} of {self.num_steps}, timestep {self.timestep:g}, latents [{shape}], {self.seconds:.3g} s)"
