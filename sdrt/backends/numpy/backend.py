"""The numpy backend: networks straight from diffusers' weights, with nothing but numpy."""

from typing import assert_never

from sdrt.arrays import Numerics, float_dtype
from sdrt.backends.base import BackendOptions
from sdrt.backends.component_options import PLAIN, ComponentOptions
from sdrt.backends.contract import signature
from sdrt.backends.numpy.arithmetic import FLOATING, Arithmetic
from sdrt.backends.numpy.autoencoder_tiny import TinyConfig, TinyDecoder, TinyEncoder
from sdrt.backends.numpy.clip_vision import ImageEncoder
from sdrt.backends.numpy.compact import CompactNet
from sdrt.backends.numpy.configs import TextEncoderConfig, VaeConfig, VisionConfig
from sdrt.backends.numpy.controlnet import ControlNet
from sdrt.backends.numpy.controlnet_union import ControlNetUnion
from sdrt.backends.numpy.denoiser_configs import ControlNetConfig, UNetConfig, UnionConfig
from sdrt.backends.numpy.image_projection import load_image_projection
from sdrt.backends.numpy.network import NumpyNetwork
from sdrt.backends.numpy.program import PerRow, Program
from sdrt.backends.numpy.rrdb import RrdbNet
from sdrt.backends.numpy.safety_checker import SafetyChecker
from sdrt.backends.numpy.source import Source
from sdrt.backends.numpy.t2i_adapter import T2IAdapter
from sdrt.backends.numpy.team import ThreadTeam
from sdrt.backends.numpy.text_encoder import TextEncoder
from sdrt.backends.numpy.unet import UNet
from sdrt.backends.numpy.vae import VaeDecoder, VaeEncoder
from sdrt.host import usable_cores
from sdrt.models.base import Model
from sdrt.models.components import ComponentName
from sdrt.models.components.autoencoder_tiny import is_tiny
from sdrt.models.components.controlnets import is_union
from sdrt.models.components.upscaler import is_compact

__all__ = ["NumpyBackend"]


class NumpyBackend:
    """Opens networks that run on numpy alone."""

    @property
    def name(self) -> str:
        return "numpy"

    @property
    def option_names(self) -> tuple[str, ...]:
        """It has no options of its own."""
        return ()

    @property
    def numerics(self) -> tuple[Numerics, ...]:
        """Which promises of precision it keeps."""
        return "float32", "float64", "exact"

    @property
    def component_options(self) -> tuple[str, ...]:
        """Which options of components it supports."""
        return "clip_skip", "freeu", "identity_attention", "token_merging"

    def open(
        self, component: ComponentName, model: Model, options: BackendOptions, component_options: ComponentOptions = PLAIN
    ) -> NumpyNetwork:
        """Open one part.

        Raises
        ------
        ConfigError : the configuration asks for something that is not built
        ModelError : a file is missing or damaged, or a tensor does not fit the configuration
        """
        config = model.config(component)
        arithmetic = _arithmetic(options.numerics)
        team = ThreadTeam(options.threads or usable_cores(), arithmetic)
        program = _load(component, model, options, arithmetic)
        return NumpyNetwork(component, signature(component, config, options.numerics), program, team, component_options)


def _arithmetic(numerics: Numerics) -> Arithmetic:
    if numerics != "exact":
        return FLOATING
    from sdrt.backends.numpy.exact import EXACT  # its tables take some milliseconds

    return EXACT


def _load(component: ComponentName, model: Model, options: BackendOptions, arithmetic: Arithmetic) -> Program:
    file, values = model.where(component), model.config(component)

    def source() -> Source:
        return Source(model.tensors(component), float_dtype(options.numerics), mapped=options.low_memory, arithmetic=arithmetic)

    match component:
        case "text_encoder" | "text_encoder_2":
            text_config = TextEncoderConfig.read(file, values)
            return TextEncoder.load(component, source(), text_config)
        case "unet":
            unet_config = UNetConfig.read(file, values)
            return UNet.load(source(), unet_config)
        case "controlnet" if is_union(values):
            union_config = UnionConfig.read(file, values)
            return ControlNetUnion.load(source(), union_config)
        case "controlnet":
            controlnet_config = ControlNetConfig.read(file, values)
            return ControlNet.load(source(), controlnet_config)
        case "t2i_adapter":
            return T2IAdapter.load(source(), values)
        case "vae_decoder" if is_tiny(values):
            decoder = TinyDecoder.load(source(), TinyConfig.read("decoder", file, values))
            return PerRow(decoder) if options.low_memory else decoder
        case "vae_encoder" if is_tiny(values):
            encoder = TinyEncoder.load(source(), TinyConfig.read("encoder", file, values))
            return PerRow(encoder) if options.low_memory else encoder
        case "vae_decoder" | "vae_encoder":
            vae_config = VaeConfig.read(file, values)
            half = VaeDecoder if component == "vae_decoder" else VaeEncoder
            program = half.load(source(), vae_config)
            return PerRow(program) if options.low_memory else program
        case "safety_checker":
            checker_config = VisionConfig.read(file, values["vision_config"], values["projection_dim"])
            return SafetyChecker.load(source(), checker_config)
        case "upscaler":
            network = (CompactNet if is_compact(values) else RrdbNet).load(source(), values)
            return PerRow(network) if options.low_memory else network
        case "image_encoder":
            encoder_config = VisionConfig.read(file, values, values["projection_dim"])
            return ImageEncoder.load(source(), encoder_config)
        case "image_projection":
            return load_image_projection(source(), values)
    assert_never(component)
