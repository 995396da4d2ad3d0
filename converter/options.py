"""The options of a conversion: one frozen record, made by the command line or by a program."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from converter.compression.settings import Compression, LinearQuantization, MixedBits, Palettization, Pruning
from sdrt.errors import ConfigError
from sdrt.models import DownloadProgress, HubAccess, PredictionType
from sdrt.models.base import Pickled
from sdrt.models.coreml.names import ComputeUnit
from sdrt.values import (
    Anything,
    Choice,
    FilePath,
    Flag,
    Function,
    Integer,
    Kind,
    ListOf,
    Nullable,
    Number,
    RefusedError,
    Text,
    read_values,
)

__all__ = ["PARTS", "Attention", "ComputeUnit", "ConvertOptions", "DeploymentTarget", "Precision"]

Precision: TypeAlias = Literal["float16", "float32"]
DeploymentTarget: TypeAlias = Literal["macOS13", "macOS14", "macOS15", "iOS16", "iOS17", "iOS18"]

# For SPLIT_EINSUM_V2; source: apple/ml-stable-diffusion at e12202c, attention.py, where it fits the cache of an iPhone's Neural Engine.
QUERIES_AT_A_TIME = 512

# Pixels or latents along one side, and tokens: a slip of more digits would take the machine's memory.
_LARGEST_SIDE = 2**14

# Networks that can be requested besides ControlNets and a refiner; ``text_encoder`` means both encoders of Stable Diffusion XL.
PARTS = ("vae_decoder", "vae_encoder", "unet", "text_encoder", "safety_checker")


class Attention(StrEnum):
    """The form of attention for Core ML's compiler; the numbers are the same in each.

    ORIGINAL suits GPUs; SPLIT_EINSUM, head by head, the Neural Engine; SPLIT_EINSUM_V2 splits the queries too, for phones.
    """

    ORIGINAL = "ORIGINAL"
    SPLIT_EINSUM = "SPLIT_EINSUM"
    SPLIT_EINSUM_V2 = "SPLIT_EINSUM_V2"


@dataclass(frozen=True, kw_only=True)
class ConvertOptions:
    """The options of one conversion.

    Parameters
    ----------
    model : str
        A folder in diffusers' layout, a checkpoint in one file, an embedded model's name, or a repository of the Hub.
    out : Path
        The output folder for packages.
    parts : tuple of str
        The networks: ``unet``, ``text_encoder`` (both, if there are two), ``vae_decoder``, ``vae_encoder``, ``safety_checker``.
    controlnets : tuple of str
        ControlNets to convert: folders, or repositories of the Hub.
    refiner, vae : str or None
        The model of an SDXL refiner, whose U-Net is converted; a VAE that replaces the model's own.
    loras : tuple of (str, float)
        LoRA files to merge into the weights, and their strengths.
    unet_support_controlnet : bool
        Whether the U-Net takes a ControlNet's residuals as inputs.
    batch : 1 or 2
        Rows in a call of the U-Net: 2 for classifier-free guidance.
    sizes : tuple of (height, width) in pixels
        Several sizes make a package of enumerated shapes, whose default is the first; none means the model's own size.
    latent_height, latent_width : int or None
        Apple's form of one size: rows and columns of the latents.
    text_token_sequence_length, text_encoder_hidden_size : int or None
        The number of tokens (77) and the width of the U-Net's ``encoder_hidden_states``. The width is fixed by the U-Net, and only checked.
    precision : "float16" or "float32"
        The precision of computation. Weights are stored in float16 either way, unless ``float32_weights``.
    timestep_dtype : "float16" or "float32"
        The dtype of the U-Net's timestep input; Apple's Swift package passes float16.
    compression : Compression or None
    chunk, merge_chunks : bool
        Whether the U-Net is cut in two, and whether the halves are joined in one pipeline model.
    check : bool
        Whether each package is compared with its source.
    min_psnr : float or None
        The PSNR that the comparison must reach, in dB; None requires Apple's 35 of a converted network, and nothing of a compressed one.
    bundle : bool
        Whether a Resources folder for Swift's package is made too.
    overwrite : bool
        Whether a file made with other options is replaced instead of refused.
    cache_dir : Path or None
        Where repositories of the Hub are stored; None is the Hub client's own folder.
    token, revision, on_download
        How they are fetched, the revision being the model's alone; see `sdrt.load`.
    variant, prediction_type, pickled
        How the model is opened; see `sdrt.models.open_model`.

    Raises
    ------
    ConfigError : an invalid value, or values that contradict each other
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
    token: str | None = field(default=None, repr=False)
    revision: str | None = None
    on_download: Callable[[DownloadProgress], Any] | None = None
    variant: str | None = None
    prediction_type: PredictionType | None = None
    pickled: Pickled = "refuse"

    def __post_init__(self) -> None:
        given = {each.name: getattr(self, each.name) for each in fields(self)}
        for name, value in read_values("", given, _KINDS).items():
            object.__setattr__(self, name, value)
        if len(set(self.parts)) != len(self.parts):
            raise ConfigError(f"parts must be different, got {', '.join(self.parts)}; leave out the repeated ones")
        if self.merge_chunks and not self.chunk:
            raise ConfigError("merge_chunks must come with chunk, whose halves it joins, got it alone; set chunk too, or leave it out")
        if self.float32_weights and self.precision == "float16":
            raise ConfigError("float32_weights must come with precision 'float32', got 'float16'; set precision too, or leave it out")
        if self.float32_weights and self.compression is not None:
            raise ConfigError("float32_weights and compression must not both be set, got both; leave one of them out")
        self._check_sizes()

    @property
    def hub(self) -> HubAccess:
        """How the model's repository is fetched."""
        return HubAccess(self.cache_dir, self.token, self.revision, self.on_download)

    def _check_sizes(self) -> None:
        latent = (self.latent_height, self.latent_width)
        if self.sizes and latent != (None, None):
            raise ConfigError(
                f"the size must be set either by sizes or by the latents' sides, got {self.sizes} and {latent}; leave one out"
            )
        if self.chunk and len(self.sizes) > 1:
            raise ConfigError(f"a U-Net to be cut in two must have one size, got {len(self.sizes)}; leave chunk out, or all sizes but one")
        if len(set(self.sizes)) != len(self.sizes):
            raise ConfigError(f"sizes must be different, got {self.sizes}; leave out the repeated ones")


class _ModelName(Kind[str]):
    """A path or a repository's name, as text: a Path would lose what tells ``./nano`` from ``nano``."""

    def describe(self) -> str:
        return "a path or a repository's name"

    def convert(self, value: object) -> str:
        if not FilePath().convert(value).parts:
            raise RefusedError
        return os.fspath(value)  # type: ignore[call-overload,no-any-return]


class _AttentionName(Kind[Attention]):
    """A form of attention, in capitals or not."""

    def describe(self) -> str:
        return " or ".join(Attention)

    def convert(self, value: object) -> Attention:
        try:
            return Attention(str.upper(value))  # type: ignore[arg-type]
        except (TypeError, ValueError):
            raise RefusedError from None


class _LoraFile(Kind[tuple[str, float]]):
    """A LoRA's file and its strength."""

    def describe(self) -> str:
        return "a path and a number"

    def convert(self, value: object) -> tuple[str, float]:
        if not isinstance(value, tuple | list) or len(value) != 2:
            raise RefusedError
        return _ModelName().convert(value[0]), Number().convert(value[1])


class _CompressionSettings(Kind[Compression]):
    """One of the records of compression."""

    def describe(self) -> str:
        return " or ".join(kind.__name__ for kind in get_args(Compression))

    def convert(self, value: object) -> Compression:
        if not isinstance(value, Palettization | LinearQuantization | Pruning | MixedBits):
            raise RefusedError
        return value


_NAME, _SIDE = _ModelName(), Integer(minimum=1, maximum=_LARGEST_SIDE)
_PRECISION = Choice(*get_args(Precision))

_KINDS: Mapping[str, Kind[Any]] = {
    "model": _NAME,
    "out": FilePath(),
    "parts": ListOf(Choice(*PARTS)),
    "controlnets": ListOf(_NAME),
    "refiner": Nullable(_NAME),
    "vae": Nullable(_NAME),
    "loras": ListOf(_LoraFile()),
    "attention": _AttentionName(),
    "unet_support_controlnet": Flag(),
    "batch": Integer(minimum=1, maximum=2),
    "sizes": ListOf(ListOf(_SIDE, 2, 2)),
    "latent_height": Nullable(_SIDE),
    "latent_width": Nullable(_SIDE),
    "text_token_sequence_length": Nullable(Integer(minimum=1, maximum=_LARGEST_SIDE)),
    "text_encoder_hidden_size": Nullable(Integer(minimum=1)),
    "precision": _PRECISION,
    "float32_weights": Flag(),
    "timestep_dtype": _PRECISION,
    "compression": Nullable(_CompressionSettings()),
    "chunk": Flag(),
    "merge_chunks": Flag(),
    "compute_unit": Choice(*get_args(ComputeUnit)),
    "deployment_target": Choice(*get_args(DeploymentTarget)),
    "check": Flag(),
    "min_psnr": Nullable(Number()),
    "bundle": Flag(),
    "overwrite": Flag(),
    "cache_dir": Nullable(FilePath()),
    "token": Anything(),
    "revision": Nullable(Text(200, empty=False)),
    "on_download": Nullable(Function()),
    "variant": Nullable(_NAME),
    "prediction_type": Nullable(Choice(*get_args(PredictionType))),
    "pickled": Choice(*get_args(Pickled)),
}
