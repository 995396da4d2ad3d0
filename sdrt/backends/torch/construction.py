"""A component's module, built from its configuration without memory and filled from the model's weights.

:func:`open_module` is the whole of it, and open to other backends: one that converts torch modules begins here.
"""

import inspect
from collections.abc import Mapping
from typing import Any, assert_never

import torch
from diffusers import AutoencoderKL, AutoencoderTiny, ControlNetModel, ControlNetUnionModel, T2IAdapter, UNet2DConditionModel
from diffusers.models.embeddings import ImageProjection, IPAdapterFullImageProjection, IPAdapterPlusImageProjection
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from torch import nn
from transformers import (
    CLIPConfig,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

from sdrt.backends.torch.adapter import Adapter
from sdrt.backends.torch.controlnet_union import ControlNetUnion
from sdrt.backends.torch.denoisers import ControlNet, UNet
from sdrt.backends.torch.extra import quiet
from sdrt.backends.torch.filling import fill
from sdrt.backends.torch.image_prompts import ImageEncoder, ImageProjector, add_processors
from sdrt.backends.torch.safety_checker import SafetyChecker
from sdrt.backends.torch.t2i_adapter import Features
from sdrt.backends.torch.text_encoder import TextEncoder
from sdrt.backends.torch.timesteps import Float64Timesteps
from sdrt.backends.torch.upscaler import build_upscaler
from sdrt.backends.torch.vae import VaeDecoder, VaeEncoder
from sdrt.errors import ConfigError, SdrtError
from sdrt.models.base import Model
from sdrt.models.components import ComponentName
from sdrt.models.components.autoencoder_tiny import is_tiny
from sdrt.models.components.controlnets import is_union
from sdrt.models.components.cross_attentions import cross_attentions
from sdrt.models.components.text_time import has_text_time

__all__ = ["open_module", "peers_class"]


def open_module(
    component: ComponentName,
    model: Model,
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    clip_skip: int = 0,
    mapped: bool = False,
    row_by_row: bool = False,
) -> Adapter:
    """Open a component as a torch module whose ``forward`` takes the signature's inputs by name and gives its outputs as a tuple.

    Parameters
    ----------
    component : ComponentName
    model : Model
    dtype : torch.dtype
        Of weights and products. float16 does not hold for an autoencoder whose configuration says ``force_upcast``, as SDXL's does: its
        values outgrow it, and it stays float32.
    device : torch.device
    clip_skip : int
        See :meth:`sdrt.backends.Backend.open`.
    mapped : bool
        Whether weights that need no conversion stay views of their file: no memory of their own, for as long as the file is there.
    row_by_row : bool
        Whether an autoencoder takes the pictures of a batch one after another.

    Raises
    ------
    ConfigError : the configuration is none that diffusers or transformers can build
    ModelError : a file is missing or damaged, or a tensor does not fit the configuration
    """
    config = model.config(component)
    if dtype == torch.float16 and component in ("vae_decoder", "vae_encoder") and config.get("force_upcast"):
        dtype = torch.float32
    with quiet():
        try:
            with torch.device("meta"):
                adapter = _build(component, config, clip_skip, row_by_row)
        except SdrtError:
            raise
        except Exception as error:  # the peers' constructors raise what they stumble over, of any kind
            reason = " ".join(str(error).split())
            raise ConfigError(
                f"{model.where(component)}: cannot be built ({type(error).__name__}: {reason}); its values do not fit together"
            ) from error
        fill(adapter, component, model.tensors(component), dtype, torch.device(device), mapped)
    if dtype == torch.float64:
        _keep_timesteps_exact(adapter)
    return adapter.eval().requires_grad_(False)


def peers_class(component: ComponentName, config: Mapping[str, Any]) -> Any:
    """Return the class of diffusers or transformers that a component of this configuration is of."""
    match component:
        case "text_encoder" | "text_encoder_2":
            projects = "CLIPTextModelWithProjection" in (config.get("architectures") or ())
            return CLIPTextModelWithProjection if projects else CLIPTextModel
        case "unet":
            return UNet2DConditionModel
        case "controlnet":
            return ControlNetUnionModel if is_union(config) else ControlNetModel
        case "t2i_adapter":
            return T2IAdapter
        case "vae_decoder" | "vae_encoder":
            return AutoencoderTiny if is_tiny(config) else AutoencoderKL
        case "safety_checker":
            return StableDiffusionSafetyChecker
        case "image_encoder":
            return CLIPVisionModelWithProjection
        case "image_projection":
            classes = (ImageProjection, IPAdapterPlusImageProjection, IPAdapterFullImageProjection)
            return {each.__name__: each for each in classes}[config["_class_name"]]
    raise ConfigError(f"the torch backend opens no component named {component!r}")


def _build(component: ComponentName, config: Mapping[str, Any], clip_skip: int, row_by_row: bool) -> Adapter:
    if component == "upscaler":
        return build_upscaler(config, row_by_row)
    kind = peers_class(component, config)
    match component:
        case "text_encoder" | "text_encoder_2":
            return TextEncoder(kind(_construct(CLIPTextConfig, config)), config["num_hidden_layers"], config["vocab_size"], clip_skip)
        case "unet":
            unet = _construct(kind, config)
            if adapters := config.get("ip_adapters", 0):
                add_processors(unet, cross_attentions(config), adapters, config["cross_attention_dim"])
            return UNet(unet, **_condition_widths(config))
        case "controlnet":
            # its forward turns channels round after the embedding that is taken out of it here
            own = {"controlnet_conditioning_channel_order": "rgb"} | ({"class_embed_type": "identity"} if is_union(config) else {})
            # a union's trunk is an ordinary ControlNet's
            module = _construct(ControlNetModel, {**config, **own})
            embedding, module.controlnet_cond_embedding = module.controlnet_cond_embedding, nn.Identity()
            reverse = config["controlnet_conditioning_channel_order"] == "bgr"
            if is_union(config):
                return ControlNetUnion(module, embedding, reverse, config, **_condition_widths(config))
            return ControlNet(module, embedding, reverse, **_condition_widths(config))
        case "t2i_adapter":
            return Features(_construct(kind, config), config["downscale_factor"])
        case "vae_decoder":
            vae = _construct(kind, config)
            return VaeDecoder(vae.decoder, getattr(vae, "post_quant_conv", None), row_by_row)
        case "vae_encoder":
            vae = _construct(kind, config)
            return VaeEncoder(vae.encoder, getattr(vae, "quant_conv", None), row_by_row)
        case "safety_checker":
            # what the older spelling of its files says is merged already
            towers = {"text_config": {}, "vision_config": dict(config["vision_config"])}
            return SafetyChecker(kind(CLIPConfig(**towers, projection_dim=config["projection_dim"])))
        case "image_encoder":
            return ImageEncoder(kind(_construct(CLIPVisionConfig, config)))
        case "image_projection":
            return ImageProjector(_construct(kind, config))
    assert_never(component)


def _construct(kind: Any, config: Mapping[str, Any]) -> Any:
    """One of the peers' classes, from the keys that it knows."""
    known = inspect.signature(kind.__init__).parameters
    return kind(**{name: value for name, value in config.items() if name in known})


def _condition_widths(config: Mapping[str, Any]) -> dict[str, int | None]:
    if not has_text_time(config):
        return {}
    return {"condition_width": config["projection_class_embeddings_input_dim"], "number_width": config["addition_time_embed_dim"]}


def _keep_timesteps_exact(adapter: Adapter) -> None:
    for owner in (adapter, getattr(adapter, "module", None)):
        for name in ("time_proj", "add_time_proj", "control_type_proj"):
            if hasattr(owner, name):
                setattr(owner, name, Float64Timesteps(getattr(owner, name)))
