"""A model whose U-Net takes features of T2I-Adapters: its configuration says how many, and the weights stay as they are."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from sdrt.models.base import Model
from sdrt.models.components.feature_places import ADAPTER_FEATURES
from sdrt.models.components.t2i_adapters import count_taken
from sdrt.models.stored_model import Extension, StoredModel

__all__ = ["with_t2i_adapters"]

ModelT = TypeVar("ModelT", bound=StoredModel)


def with_t2i_adapters(model: ModelT, adapters: Sequence[Model], latent_pixels: int) -> ModelT:
    """Return a model for these adapters; without any, the model as it was.

    Parameters
    ----------
    model : Model
    adapters : sequence of Model
        Each with a component ``t2i_adapter``.
    latent_pixels : int
        Pixels of the picture for one latent, in each direction.

    Raises
    ------
    ConfigError : an adapter was made for another U-Net
    """
    if not adapters:
        return model
    unet = model.config("unet")
    taken = max(count_taken(each.config("t2i_adapter"), unet, latent_pixels, each.path) for each in adapters)
    beside = model.extensions.get("unet", Extension({}))
    return model.with_extension("unet", replace(beside, config={**beside.config, ADAPTER_FEATURES: taken}))
