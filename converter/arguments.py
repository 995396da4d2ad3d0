"""The flags of a conversion: Apple's, plus sdrt's own; and their translation to options."""

import argparse
from pathlib import Path
from typing import Any, get_args

from converter.compression.settings import Compression, LinearQuantization, MixedBits, Palettization, Pruning
from converter.options import Attention, ComputeUnit, ConvertOptions, DeploymentTarget
from converter.sizes import parse_sizes
from sdrt.cli.loras import parse_lora
from sdrt.cli.paths import a_path
from sdrt.errors import ConfigError
from sdrt.printable import shown

__all__ = ["add_arguments", "parse_options"]

DEFAULT_MODEL = "CompVis/stable-diffusion-v1-4"
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}
_PARTS = (
    ("unet", "the U-Net"),
    ("text_encoder", "the text encoder, or both of them for Stable Diffusion XL"),
    ("vae_decoder", "the autoencoder's half that makes images"),
    ("vae_encoder", "the autoencoder's half that reads images"),
    ("safety_checker", "the safety checker"),
)


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Add all flags of a conversion to a parser."""
    for add in (_add_source, _add_parts, _add_form, _add_numbers, _add_compression, _add_output):
        add(command)


def parse_options(arguments: argparse.Namespace) -> ConvertOptions:
    """Translate arguments to options.

    Raises
    ------
    ConfigError : arguments that contradict each other or cannot be parsed
    """
    parts = tuple(name for name, _ in _PARTS if getattr(arguments, f"convert_{name}"))
    return ConvertOptions(
        model=arguments.model_version,
        out=_output_folder(arguments),
        parts=parts,
        controlnets=tuple(arguments.convert_controlnet),
        refiner=arguments.refiner_version,
        vae=arguments.custom_vae_version,
        loras=tuple(map(parse_lora, arguments.lora)),
        attention=Attention(arguments.attention_implementation),
        unet_support_controlnet=arguments.unet_support_controlnet,
        batch=1 if arguments.unet_batch_one else 2,
        sizes=() if arguments.sizes is None else parse_sizes(arguments.sizes),
        latent_height=arguments.latent_h,
        latent_width=arguments.latent_w,
        text_token_sequence_length=arguments.text_token_sequence_length,
        text_encoder_hidden_size=arguments.text_encoder_hidden_size,
        precision=arguments.precision,
        # in half precision there is nothing to keep: Apple's command lines pass the flag all the same
        float32_weights=arguments.no_quantized and arguments.precision == "float32",
        timestep_dtype=arguments.timestep_dtype,
        compression=_parse_compression(arguments),
        chunk=arguments.chunk_unet,
        merge_chunks=arguments.merge_chunks_in_pipeline_model,
        compute_unit=arguments.compute_unit,
        deployment_target=arguments.min_deployment_target,
        check=arguments.check_output_correctness,
        min_psnr=arguments.correctness_psnr,
        bundle=arguments.bundle_resources_for_swift_cli,
        overwrite=arguments.overwrite,
        cache_dir=arguments.cache_dir,
        revision=arguments.revision,
        variant=arguments.variant,
        prediction_type=arguments.prediction_type,
        pickled=arguments.pickled,
    )


def _add_source(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("the source")
    group.add_argument(
        "--model-version",
        default=DEFAULT_MODEL,
        metavar="MODEL",
        help="a repository of the Hub (OWNER/NAME[@REVISION][::FILE]), a folder in diffusers' layout, a checkpoint in one file, or nano "
        f"(default: {DEFAULT_MODEL})",
    )
    group.add_argument("--refiner-version", metavar="MODEL", help="an SDXL refiner; its U-Net is converted too")
    group.add_argument("--custom-vae-version", metavar="VAE", help="an autoencoder to use instead of the model's own")
    group.add_argument(
        "--lora",
        action="append",
        default=[],
        metavar="FILE[:STRENGTH]",
        help="a LoRA, or a repository that has one, to merge into the weights (default strength: 1); repeat the flag for several",
    )
    group.add_argument(
        "--cache-dir", type=a_path, metavar="DIR", help="where repositories of the Hub are kept (default: the Hub client's own cache)"
    )
    group.add_argument("--revision", metavar="NAME", help="the branch, tag or commit of the model's repository")
    group.add_argument("--variant", metavar="NAME", help="read the weights of this variant, such as fp16")
    group.add_argument(
        "--prediction-type",
        choices=("epsilon", "v_prediction"),
        help="what the network of a checkpoint file predicts (default: what the file shows)",
    )
    group.add_argument(
        "--pickled",
        choices=("refuse", "weights_only"),
        default="refuse",
        help="weights_only lets torch read tensors, and nothing else, from pickled files",
    )


def _add_parts(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("what is converted")
    for name, text in _PARTS:
        group.add_argument(f"--convert-{name.replace('_', '-')}", action="store_true", help=text)
    group.add_argument(
        "--convert-controlnet", nargs="*", default=[], metavar="NAME", help="ControlNets: folders, or repositories of the Hub"
    )
    group.add_argument(
        "--unet-support-controlnet", action="store_true", help="convert the U-Net for use with ControlNets; it cannot run without one then"
    )
    group.add_argument(
        "--chunk-unet",
        action="store_true",
        help="cut the U-Net into two files of about the same size; without --convert-unet, cut the one that is there",
    )
    group.add_argument("--merge-chunks-in-pipeline-model", action="store_true", help="with --chunk-unet: put both halves into one file")


def _add_form(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("inputs and layout")
    group.add_argument(
        "--attention-implementation",
        type=str.upper,
        choices=tuple(each.value for each in Attention),
        default=Attention.SPLIT_EINSUM,
        help="ORIGINAL for GPUs, SPLIT_EINSUM for the Neural Engine, SPLIT_EINSUM_V2 for that of phones (default: SPLIT_EINSUM)",
    )
    group.add_argument("--unet-batch-one", action="store_true", help="run one row in each call instead of two")
    group.add_argument(
        "--sizes",
        metavar="WIDTHxHEIGHT,...",
        help="image sizes in pixels; with several, one model accepts all of them (default: the model's own size)",
    )
    group.add_argument("--latent-h", type=int, metavar="N", help="height of the latents: an eighth of the image's")
    group.add_argument("--latent-w", type=int, metavar="N", help="width of the latents: an eighth of the image's")
    group.add_argument("--text-token-sequence-length", type=int, metavar="N", help="number of tokens that the U-Net takes (default: 77)")
    group.add_argument(
        "--text-encoder-hidden-size", type=int, metavar="N", help="width of the text embeddings, checked against the U-Net's own"
    )
    group.add_argument(
        "--timestep-dtype",
        choices=("float16", "float32"),
        default="float16",
        help="dtype of the U-Net's timestep input (default: float16, as in Apple's packages)",
    )


def _add_numbers(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("numbers and machines")
    group.add_argument(
        "--precision", choices=("float16", "float32"), default="float16", help="precision of the computation (default: float16)"
    )
    group.add_argument("--no-quantized", action="store_true", help="with --precision float32: store weights in float32 too")
    group.add_argument(
        "--compute-unit", choices=get_args(ComputeUnit), default="ALL", help="the processors that a Mac may use (default: ALL)"
    )
    group.add_argument(
        "--min-deployment-target",
        choices=get_args(DeploymentTarget),
        default="macOS13",
        help="the oldest system that must be able to run the packages (default: macOS13)",
    )


def _add_compression(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("compression of U-Net, ControlNets and text encoders", "at most one of these")
    group.add_argument(
        "--quantize-nbits", type=int, choices=(1, 2, 3, 4, 6, 8), help="palettes of 2^N values; 3 bits need macOS15 or iOS18"
    )
    group.add_argument("--quantize-linear", type=int, choices=(4, 8), help="integers of 8 bits, or of 4, which need macOS15 or iOS18")
    group.add_argument("--prune", type=float, metavar="SHARE", help="set this share of the weights to zero, such as 0.5")
    group.add_argument(
        "--target-size",
        metavar="SIZE",
        help="palettes of mixed bits, so that the weights take at most this size: bytes, or such as 900M or 1.5G",
    )
    group.add_argument("--min-psnr", type=float, metavar="DB", help="palettes of mixed bits, so that the output reaches this PSNR")


def _add_output(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("output")
    group.add_argument("folder", nargs="?", type=a_path, metavar="DIR", help="the folder to write to; the same as -o")
    group.add_argument("-o", type=a_path, metavar="DIR", help="the folder to write to (default: the current one)")
    group.add_argument("--overwrite", action="store_true", help="replace packages that were made with other options")
    group.add_argument(
        "--check-output-correctness",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="compare each package with the network that it was made from (default: yes)",
    )
    group.add_argument("--correctness-psnr", type=float, metavar="DB", help="the PSNR that the comparison must reach (default: 35)")
    group.add_argument(
        "--bundle-resources-for-swift-cli", action="store_true", help="also write the Resources folder that Apple's Swift package reads"
    )
    group.add_argument("-q", "--quiet", action="store_true", help="print no progress bar, no file names and no remarks")


def _output_folder(arguments: argparse.Namespace) -> Path:
    folders = {folder for folder in (arguments.o, arguments.folder) if folder is not None}
    if len(folders) > 1:
        raise ConfigError(f"a conversion must have one output folder, got {arguments.folder} and -o {arguments.o}; leave one out")
    return next(iter(folders), Path())


def _parse_compression(arguments: argparse.Namespace) -> Compression | None:
    ways: dict[str, tuple[Any, Any]] = {
        "--quantize-nbits": (arguments.quantize_nbits, lambda nbits: Palettization(nbits=nbits)),
        "--quantize-linear": (arguments.quantize_linear, lambda nbits: LinearQuantization(nbits=nbits)),
        "--prune": (arguments.prune, lambda share: Pruning(sparsity=share)),
        "--target-size": (arguments.target_size, lambda size: MixedBits(target_bytes=_parse_bytes(size))),
        "--min-psnr": (arguments.min_psnr, lambda psnr: MixedBits(min_psnr=psnr)),
    }
    chosen = {flag: make(value) for flag, (value, make) in ways.items() if value is not None}
    if len(chosen) > 1:
        raise ConfigError(f"weights must be compressed in one way, got {' and '.join(chosen)}; leave out all but one")
    return next(iter(chosen.values()), None)


def _parse_bytes(text: str) -> int:
    number = text.upper().removesuffix("B")
    unit = number[-1:] if number[-1:] in _UNITS else ""
    try:
        return int(float(number.removesuffix(unit)) * _UNITS[unit])
    except (ValueError, OverflowError):
        raise ConfigError(f"--target-size must be a number of bytes, or such as 900M or 1.5G, got {shown(text)}; write it so") from None
