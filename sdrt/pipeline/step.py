"""One step of the loop, as its caller sees it."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Protocol, get_args, overload

from sdrt.arrays import Float
from sdrt.errors import ConfigError
from sdrt.pipeline.previews import PreviewKind
from sdrt.schedulers import State
from sdrt.values import Choice, Integer

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["DecodeLatents", "PreviewKind", "Step"]


class DecodeLatents(Protocol):
    """Makes a picture of each sample."""

    def __call__(self, latents: Float, first: int, kind: PreviewKind) -> "list[Image]":
        """Return n pictures of float[n,C,h,w]; ``first`` is the index of the first one in the call."""
        ...


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
        kind : "latent", "taesd" or "vae"
            What makes the picture. ``vae``: the model's own decoder. ``taesd``: the quick decoder that ``sdrt.load(preview_vae=...)``
            names, or the model's own where that is a quick one. ``latent``: a linear map of the latents to colours, a pixel for each
            latent, enlarged; for models whose map is known: Stable Diffusion 1.x, 2.x and XL, nano, and those that state one in their
            ``sdrt.json``. All are pictures of the run's size, pass the safety checker where there is one, and leave the run as it is.

        Returns
        -------
        list of PIL.Image.Image, or one image if ``image`` is set

        Raises
        ------
        ConfigError : ``image`` is not in the batch, or ``kind`` is unknown, or not there for this pipeline
        """
        _KIND.check("kind", kind, "leave it out")
        if image is None:
            return self._decode(self.x0, 0, kind)
        count = len(self.latents)
        image = Integer(minimum=0, maximum=count - 1).check("image", image, f"leave it out for all {count}")
        return self._decode(self.x0[image : image + 1], image, kind)[0]

    def __reduce__(self) -> str:
        raise ConfigError("a step cannot be pickled or copied, as it holds its networks; keep its latents, or its x0")

    def __repr__(self) -> str:
        shape = ",".join(map(str, self.latents.shape))
        return f"Step({self.index + 1} of {self.num_steps}, timestep {self.timestep:g}, latents [{shape}], {self.seconds:.3g} s)"
