"""The settings of each way to compress weights, as frozen records."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

from sdrt.errors import ConfigError
from sdrt.printable import shown
from sdrt.values import Integer, Kind, Nullable, Number, read_values

__all__ = ["Compression", "LinearQuantization", "MixedBits", "Palettization", "Pruning"]

MIN_ELEMENTS = 2048  # coremltools' own threshold
MIN_MEASURED_ELEMENTS = 100_000  # Apple's threshold for mixed bits; in SD 1.5's U-Net, 280 weights with 99.9% of all numbers

_COUNT = Integer(minimum=1)


@dataclass(frozen=True, kw_only=True)
class Palettization:
    """Replace each weight by indices into a table of 2^nbits values, found by k-means.

    Parameters
    ----------
    nbits : 1, 2, 3, 4, 6 or 8
        3 needs a deployment target of iOS 18 or macOS 15.
    min_elements : int
        Smaller weights are not compressed.
    """

    nbits: int
    min_elements: int = MIN_ELEMENTS

    def __post_init__(self) -> None:
        _check(self, {"nbits": Integer(), "min_elements": _COUNT})
        if self.nbits not in (1, 2, 3, 4, 6, 8):
            raise ConfigError(f"nbits must be 1, 2, 3, 4, 6 or 8, got {shown(self.nbits)}; choose one of those")


@dataclass(frozen=True, kw_only=True)
class LinearQuantization:
    """Replace each weight by a small integer times a scale.

    Parameters
    ----------
    nbits : 8 or 4
        8 uses a scale for each output channel; 4 uses one for each block of weights, which needs iOS 18 or macOS 15.
    block_size : int
        The number of inputs in a block for ``nbits`` 4; a convolution's block also spans its whole window.
    min_elements : int
        Smaller weights are not compressed.
    """

    nbits: int = 8
    block_size: int = 32
    min_elements: int = MIN_ELEMENTS

    def __post_init__(self) -> None:
        _check(self, {"nbits": Integer(), "block_size": _COUNT, "min_elements": _COUNT})
        if self.nbits not in (4, 8):
            raise ConfigError(f"nbits of linear quantization must be 8 or 4, got {shown(self.nbits)}; choose one of those")


@dataclass(frozen=True, kw_only=True)
class Pruning:
    """Set the smallest weights to zero, which are not stored.

    Parameters
    ----------
    sparsity : float, above 0 and below 1
        The share of weights that become zero.
    min_elements : int
        Smaller weights are not compressed.
    """

    sparsity: float
    min_elements: int = MIN_ELEMENTS

    def __post_init__(self) -> None:
        _check(self, {"sparsity": Number(), "min_elements": _COUNT})
        if not 0 < self.sparsity < 1:
            raise ConfigError(f"sparsity must be above 0 and below 1, got {self.sparsity:g}; choose such a share")


@dataclass(frozen=True, kw_only=True)
class MixedBits:
    """Palettize each layer with a number of bits that depends on its effect on the output.

    Exactly one of the two aims must be given.

    Parameters
    ----------
    target_bytes : int or None
        The largest size of the package's weights.
    min_psnr : float or None
        The lowest PSNR of its output against the uncompressed one, in dB.
    min_elements : int
        Smaller weights are not compressed. Each larger one costs five runs of the network.
    """

    target_bytes: int | None = None
    min_psnr: float | None = None
    min_elements: int = MIN_MEASURED_ELEMENTS

    def __post_init__(self) -> None:
        _check(self, {"target_bytes": Nullable(_COUNT), "min_psnr": Nullable(Number()), "min_elements": _COUNT})
        if (self.target_bytes is None) == (self.min_psnr is None):
            raise ConfigError(
                f"mixed bits must have one aim, a size or a PSNR, got {shown(self.target_bytes)} bytes and {self.min_psnr} dB; pass one"
            )


def _check(settings: "Compression", kinds: Mapping[str, Kind[Any]]) -> None:
    given = {field.name: getattr(settings, field.name) for field in fields(settings)}
    for name, value in read_values("", given, kinds).items():
        object.__setattr__(settings, name, value)


Compression: TypeAlias = Palettization | LinearQuantization | Pruning | MixedBits
