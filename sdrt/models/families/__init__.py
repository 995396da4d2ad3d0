"""Families of models, one a file: everything about a kind of model except its networks."""

from sdrt.errors import ModelError
from sdrt.models.base import Model
from sdrt.models.families.base import EncodedText, Family, TextEncoder
from sdrt.models.families.latent_format import LatentFormat
from sdrt.models.families.latent_space import LatentSpace, stated_latent_space
from sdrt.models.families.micro_conditions import MicroConditions
from sdrt.models.families.release import CheckpointEncoder, Release
from sdrt.models.families.stable_diffusion import SD1, SD2, STABLE_DIFFUSION
from sdrt.models.families.stable_diffusion_xl import SDXL, STABLE_DIFFUSION_XL
from sdrt.models.families.stable_diffusion_xl_refiner import SDXL_REFINER, STABLE_DIFFUSION_XL_REFINER

__all__ = [
    "FAMILIES",
    "RELEASES",
    "SD1",
    "SD2",
    "SDXL",
    "SDXL_REFINER",
    "CheckpointEncoder",
    "EncodedText",
    "Family",
    "LatentFormat",
    "LatentSpace",
    "MicroConditions",
    "Release",
    "TextEncoder",
    "family_of",
    "stated_latent_space",
]

# In order of precedence: a model belongs to the first family that recognises it.
FAMILIES: tuple[Family, ...] = (STABLE_DIFFUSION, STABLE_DIFFUSION_XL_REFINER, STABLE_DIFFUSION_XL)

# In order of precedence: a checkpoint is of the first release whose text encoders it has.
RELEASES: tuple[Release, ...] = (SD1, SD2, SDXL, SDXL_REFINER)


def family_of(model: Model) -> Family:
    """Find the family of a model.

    Raises
    ------
    ModelError : none recognises it
    """
    for family in FAMILIES:
        if family.denoiser in model.components and family.recognises(model):
            return family
    names = ", ".join(family.name for family in FAMILIES)
    raise ModelError(f"{model.path}: must be of a known family ({names}), got components {', '.join(model.components)}; pass another model")
