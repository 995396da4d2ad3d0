"""What a conversion is told: one frozen record, made by the command line or by a program."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal, TypeAlias

from converter.compression import Compression
from sdrt.errors import ConfigError
from sdrt.models.base import Pickled
from sdrt.models.coreml.names import ComputeUnit
from sdrt.models.single_file import PredictionType

__all__ = ["PARTS", "Attention", "ComputeUnit", "ConvertOptions", "DeploymentTarget", "Precision"]

Precision: TypeAlias = Literal["float16", "float32"]
DeploymentTarget: TypeAlias = Literal["macOS13", "macOS14", "macOS15", "iOS16", "iOS17", "iOS18"]

# Of SPLIT_EINSUM_V2; source: apple/ml-stable-diffusion at e12202c, attention.py, where it keeps an iPhone's Neural Engine in its cache.
QUERIES_AT_A_TIME = 512


# What may be asked for beside ControlNets and a refiner; ``text_encoder`` is both of Stable Diffusion XL.
PARTS = ("vae_decoder", "vae_encoder", "unet", "text_encoder", "safety_checker")


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
        More than one gives a package of enumerated shapes, the first being its default; none is the model's own size.
    latent_height, latent_width : int or None
        Apple's way to say one size: rows and columns of the latents.
    text_token_sequence_length, text_encoder_hidden_size : int or None
        What the U-Net's ``encoder_hidden_states`` are told to be: tokens (77) and width. The width is the U-Net's own, and only checked.
    precision : "float16" or "float32"
        Of computation. Weights are stored in float16 in both, unless ``float32_weights``.
    timestep_dtype : "float16" or "float32"
        Of the U-Net's input; float16 is what Apple's Swift package feeds.
    compression : Compression or None
    chunk, merge_chunks : bool
        Whether the U-Net is cut in two, and whether the halves become one pipeline model.
    check : bool
        Whether each package is compared with its source.
    min_psnr : float or None
        What the comparison has to reach, in dB; None is Apple's 35 for what is converted, and asks nothing of what is then compressed.
    bundle : bool
        Whether a Resources folder for Swift's package is made besides.
    overwrite : bool
        Whether a file that was made with other options is made anew, instead of refused.
    cache_dir : Path or None
        Where repositories of the Hub are kept; None is the Hub client's own place.
    variant, prediction_type, pickled
        How the model is opened, see `sdrt.models.open_model`.

    Raises
    ------
    ConfigError : a value that cannot be used, or two that contradict each other
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
    latent_height: int | None = None
    latent_width: int | None = None
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
    min_psnr: float | None = None
    bundle: bool = False
    overwrite: bool = False
    cache_dir: Path | None = None
    variant: str | None = None
    prediction_type: PredictionType | None = None
    pickled: Pickled = "refuse"

    def __post_init__(self) -> None:
        if unknown := [part for part in self.parts if part not in PARTS]:
            raise ConfigError(f"parts are {', '.join(PARTS)}; got {', '.join(unknown)}")
        if self.batch not in (1, 2):
            raise ConfigError(f"batch is 2, for guidance, or 1; got {self.batch}")
        if self.merge_chunks and not self.chunk:
            raise ConfigError("merge_chunks joins the halves that chunk makes; ask for chunk too, or leave it out")
        if self.float32_weights and self.precision == "float16":
            raise ConfigError("float32 weights are for a computation in float32; got precision 'float16': ask for 'float32' too")
        if self.float32_weights and self.compression is not None:
            raise ConfigError("float32_weights and compression contradict each other; leave one of them out")
        self._check_sizes()

    def _check_sizes(self) -> None:
        latent = (self.latent_height, self.latent_width)
        if self.sizes and latent != (None, None):
            raise ConfigError(f"sizes and the latents' height and width both say the size; got {self.sizes} and {latent}: leave one out")
        if self.chunk and len(self.sizes) > 1:
            raise ConfigError(
                f"a U-Net of several sizes cannot be cut in two; got {len(self.sizes)} sizes: leave chunk out, or all but one"
            )
        if len(set(self.sizes)) != len(self.sizes):
            raise ConfigError(f"sizes are different ones; got {self.sizes}")
        if bad := [size for size in (*self.sizes, latent) if any(side is not None and side < 1 for side in size)]:
            raise ConfigError(f"a height or width is at least 1; got {bad[0]}")
