"""Pictures of latents that cost less than the autoencoder's: a linear map of the latents, or a quick decoder beside the model's own."""

from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from sdrt.arrays import Float
from sdrt.backends import Backend, BackendOptions, registry
from sdrt.backends.pool import NetworkPool
from sdrt.errors import ConfigError
from sdrt.images.png import to_pil
from sdrt.models import StoredModel
from sdrt.models.families import LatentFormat, LatentSpace
from sdrt.pipeline.decoding import Decoder
from sdrt.pipeline.loaded_model import LoadedModel

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["PreviewKind", "check_kind", "latent_pictures", "pictures_of", "preview_kinds", "quick_decoder"]

PreviewKind: TypeAlias = Literal["latent", "taesd", "vae"]

_CORE_ML = "coreml"

# What a kind of pictures needs, in words.
_NEEDS: Mapping[PreviewKind, str] = {
    "latent": "no map of its latents to colours is known: state one as latent_rgb in its sdrt.json",
    "taesd": "load it with preview_vae='taesd', or with the path of a quick autoencoder",
}


def preview_kinds(model: LoadedModel, quick: Decoder | None) -> tuple[PreviewKind, ...]:
    """Return the kinds of pictures that can be made of a model's latents, the cheapest first.

    Parameters
    ----------
    model : LoadedModel
    quick : Decoder or None
        A quick decoder beside the model's own.
    """
    space = model.latent_space
    maps = space is not None and len(space.rgb_factors) == model.latent_format.channels
    # an autoencoder without a posterior is a quick one
    is_quick = quick is not None or not model.has_posterior
    return (*(("latent",) if maps else ()), *(("taesd",) if is_quick else ()), "vae")


def check_kind(kind: PreviewKind, kinds: Sequence[PreviewKind], name: str = "kind") -> None:
    """Raise ConfigError unless a kind is among those that can be made; the message says what it needs."""
    if kind not in kinds:
        raise ConfigError(f"{name} must be {' or '.join(map(repr, kinds))} for this pipeline, got {kind!r}; {_NEEDS[kind]}")


def pictures_of(
    latents: Float, kind: PreviewKind, model: LoadedModel, quick: Decoder | None, *, tiled: bool
) -> "Generator[Image, None, None]":
    """Make a picture of each of the latents float[n,C,h,w], one after the other.

    Parameters
    ----------
    kind : "latent", "taesd" or "vae"
    model : LoadedModel
    quick : Decoder or None
        A quick decoder beside the model's own.
    tiled : bool
        Whether decoders run tile by tile.

    Raises
    ------
    ConfigError : as `check_kind`
    """
    check_kind(kind, preview_kinds(model, quick))
    if kind == "latent" and model.latent_space is not None:
        return latent_pictures(latents, model.latent_space, model.latent_format.pixels)
    if kind == "taesd" and quick is not None:
        return quick(latents, tiled=tiled)
    return model.decode(latents, tiled=tiled)


def latent_pictures(latents: Float, space: LatentSpace, pixels: int) -> "Generator[Image, None, None]":
    """Map the channels of latents to colours, and enlarge the pictures to the size of decoded ones.

    Parameters
    ----------
    latents : float[n,C,h,w]
        In the denoiser's scale.
    space : LatentSpace
        With a factor for each channel.
    pixels : int
        Per latent, along each side.

    Yields
    ------
    PIL.Image.Image, RGB, of h pixels by w pixels times ``pixels``
    """
    from PIL import Image

    for sample in latents:
        colours = np.asarray(space.rgb_bias, latents.dtype)[:, None, None]
        # in this order, so that no product of matrices decides the last bit
        for channel, factors in zip(sample, space.rgb_factors, strict=True):
            colours = colours + np.asarray(factors, latents.dtype)[:, None, None] * channel
        [small] = to_pil(colours[None])
        yield small.resize((small.width * pixels, small.height * pixels), Image.Resampling.BICUBIC)


def quick_decoder(model: StoredModel, own: LatentFormat, backend: Backend, options: BackendOptions, *, keep_loaded: bool) -> Decoder:
    """Return the decoder of an autoencoder that draws previews beside the model's own.

    Parameters
    ----------
    model : StoredModel
        With the component ``vae_decoder``.
    own : LatentFormat
        Of the model whose latents it decodes.
    backend : Backend
        Runs the model's own; where that is Core ML, which runs packages alone, numpy runs this one.
    options : BackendOptions
    keep_loaded : bool
        Whether the network stays open between its uses.

    Raises
    ------
    ConfigError : it is for latents of other channels, or makes pictures of another size
    """
    latent_format = LatentFormat.read(model.config("vae_decoder"))
    if (latent_format.channels, latent_format.pixels) != (own.channels, own.pixels):
        raise ConfigError(
            f"{model.where('vae_decoder')}: preview_vae must be for latents of {own.channels} channels and {own.pixels} pixels along each "
            f"side, as the model's are, got one for {latent_format.channels} channels and {latent_format.pixels} pixels; take its family's"
        )
    if backend.name == _CORE_ML:
        backend = registry.get("numpy")
        options = BackendOptions(numerics=options.numerics, threads=options.threads, low_memory=options.low_memory)
    return Decoder(NetworkPool(model, {"vae_decoder": backend}, {"vae_decoder": options}, keep_loaded=keep_loaded), latent_format)
