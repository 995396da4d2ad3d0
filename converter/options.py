"""What a conversion is told: one frozen record, made by the command line or by a program."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal, TypeAlias

from converter.compression import Compression
from sdrt.errors import ConfigError

__all__ = ["Attention", "ComputeUnit", "ConvertOptions", "DeploymentTarget", "Precision"]

Precision: TypeAlias = Literal["float16", "float32"]
ComputeUnit: TypeAlias = Literal["ALL", "CPU_ONLY", "CPU_AND_GPU", "CPU_AND_NE"]
DeploymentTarget: TypeAlias = Literal["macOS13", "macOS14", "macOS15", "iOS16", "iOS17", "iOS18"]


class Attention(StrEnum):
    """How attention is written out for Core ML's compiler; the numbers are the same.

    ORIGINAL suits GPUs; SPLIT_EINSUM, head by head, the Neural Engine; SPLIT_EINSUM_V2 cuts the queries besides, for phones.
    """

    ORIGINAL = "ORIGINAL"
    SPLIT_EINSUM = "SPLIT_EINSUM"
    SPLIT_EINSUM_V2 = "SPLIT_EINSUM_V2"


@dataclass(frozen=True, kw_only=True)
class ConvertOptions:
    """One conversion.

    Parameters
    ----------
    model : str
        A folder in diffusers' layout, a checkpoint in one file, an embedded model's name, or a repository of the Hub.
    out : Path
        The folder that packages are written to.
    parts : tuple of str
        Which networks: ``unet``, ``text_encoder`` (both, where there are two), ``vae_decoder``, ``vae_encoder``, ``safety_checker``.
    controlnets : tuple of str
        ControlNets to convert: folders, or repositories of the Hub.
    refiner, vae : str or None
        An SDXL refiner's model, of which the U-Net is converted; a VAE in the place of the model's own.
    loras : tuple of (str, float)
        LoRA files that are merged into the weights, and their strengths.
    unet_support_controlnet : bool
        The U-Net takes a ControlNet's residuals as inputs.
    batch : 1 or 2
        Rows of a call of the U-Net: 2 for classifier-free guidance.
    sizes : tuple of (height, width) in pixels
        More than one gives a package of enumerated shapes; none is the model's own size.
    precision : "float16" or "float32"
        Of computation. Weights are stored in float16 in both, unless ``float32_weights``.
    timestep_dtype : "float16" or "float32"
        Of the U-Net's input; float16 is what Apple's Swift package feeds.
    compression : Compression or None
    chunk, merge_chunks : bool
        Whether the U-Net is cut in two, and whether the halves become one pipeline model.
    check : bool
        Whether each package is compared with its source.
    min_psnr : float
        What the comparison has to reach, in dB.
    bundle : bool
        Whether a Resources folder for Swift's package is made besides.
    """

    model: str
    out: Path
    parts: tuple[str, ...] = ()
    controlnets: tuple[str, ...] = ()
    refiner: str | None = None
    vae: str | None = None
    loras: tuple[tuple[str, float], ...] = ()
    attention: Attention = Attention.SPLIT_EINSUM
    unet_support_controlnet: bool = False
    batch: int = 2
    sizes: tuple[tuple[int, int], ...] = ()
    text_token_sequence_length: int | None = None
    text_encoder_hidden_size: int | None = None
    precision: Precision = "float16"
    float32_weights: bool = False
    timestep_dtype: Precision = "float16"
    compression: Compression | None = None
    chunk: bool = False
    merge_chunks: bool = False
    compute_unit: ComputeUnit = "ALL"
    deployment_target: DeploymentTarget = "macOS13"
    check: bool = True
    min_psnr: float = 35.0
    bundle: bool = False
    cache_dir: Path | None = None

    def __post_init__(self) -> None:
        if self.batch not in (1, 2):
            raise ConfigError(f"batch is 2, for guidance, or 1; got {self.batch}")
        if self.merge_chunks and not self.chunk:
            raise ConfigError("merge_chunks joins the halves that chunk makes; ask for chunk too, or leave it out")
