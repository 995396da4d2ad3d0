"""What is known of the latents that a denoiser was trained on: a linear map to colours, and a quick autoencoder.

A model says it of its own latents in its ``sdrt.json``: ``latent_rgb``, a row of red, green and blue for each channel and one to add, and
``quick_vae``, the name of an embedded autoencoder. Of published models it is known by the family.
"""

from dataclasses import dataclass
from typing import TypeAlias

from sdrt.models.base import Model

__all__ = ["SD_LATENTS", "XL_LATENTS", "LatentSpace", "stated_latent_space"]

Colour: TypeAlias = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class LatentSpace:
    """The latents of a kind of models.

    Parameters
    ----------
    rgb_factors : tuple of (red, green, blue)
        For each channel of the denoiser's latents, what it adds to the colours in [-1, 1]; empty where it is not known.
    rgb_bias : (red, green, blue)
        Added to the sum.
    quick_vae : str or None
        The quick autoencoder of these latents: an embedded model's name, or a repository of the Hub.
    """

    rgb_factors: tuple[Colour, ...] = ()
    rgb_bias: Colour = (0.0, 0.0, 0.0)
    quick_vae: str | None = None


# Source of both maps: ``latent-preview.h`` of leejet/stable-diffusion.cpp, as stable-diffusion-cpp-python 0.4.7 brings it.
SD_LATENTS = LatentSpace(
    rgb_factors=(
        (0.337366, 0.216344, 0.257386),
        (0.165636, 0.386828, 0.046994),
        (-0.267803, 0.237036, 0.223517),
        (-0.178022, -0.200862, -0.678514),
    ),
    rgb_bias=(-0.017478, -0.055834, -0.105825),
    quick_vae="madebyollin/taesd",
)
XL_LATENTS = LatentSpace(
    rgb_factors=(
        (0.258303, 0.277640, 0.329699),
        (-0.299701, 0.105446, 0.014194),
        (0.050522, 0.186163, -0.143257),
        (-0.211938, -0.149892, -0.080036),
    ),
    rgb_bias=(0.144381, -0.033313, 0.007061),
    quick_vae="madebyollin/taesdxl",
)


def stated_latent_space(model: Model) -> LatentSpace | None:
    """Return what a model's ``sdrt.json`` says of its latents; None where it says nothing.

    Raises
    ------
    ModelError : it cannot be read
    """
    rgb, quick_vae = model.defaults.get("latent_rgb"), model.defaults.get("quick_vae")
    if rgb is None:
        return None if quick_vae is None else LatentSpace(quick_vae=quick_vae)
    return LatentSpace(rgb_factors=rgb[:-1], rgb_bias=rgb[-1], quick_vae=quick_vae)
