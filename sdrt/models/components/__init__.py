"""The components of a model, in one table. A new component needs a record here, and a network in each backend."""

from collections.abc import Mapping

from sdrt.models.components.autoencoder import VAE_DECODER, VAE_ENCODER
from sdrt.models.components.clip_text import TEXT_ENCODER, TEXT_ENCODER_2
from sdrt.models.components.controlnets import CONTROLNET
from sdrt.models.components.denoisers import UNET
from sdrt.models.components.image_encoder import IMAGE_ENCODER
from sdrt.models.components.image_projection import IMAGE_PROJECTION
from sdrt.models.components.record import Component, ComponentName, PackageNames, Role
from sdrt.models.components.safety_checker import SAFETY_CHECKER
from sdrt.models.components.t2i_adapters import T2I_ADAPTER
from sdrt.models.components.upscaler import UPSCALER

__all__ = ["COMPONENTS", "Component", "ComponentName", "PackageNames", "Role"]

# In the order of messages and of `Model.components`.
COMPONENTS: Mapping[ComponentName, Component] = {
    component.name: component
    for component in (
        TEXT_ENCODER,
        TEXT_ENCODER_2,
        UNET,
        CONTROLNET,
        T2I_ADAPTER,
        VAE_DECODER,
        VAE_ENCODER,
        SAFETY_CHECKER,
        UPSCALER,
        IMAGE_ENCODER,
        IMAGE_PROJECTION,
    )
}
