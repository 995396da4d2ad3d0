"""How weights are made smaller: one frozen record for each way."""

import math
from dataclasses import dataclass
from typing import TypeAlias

from sdrt.errors import ConfigError

__all__ = ["Compression", "LinearQuantization", "MixedBits", "Palettization", "Pruning"]

MIN_ELEMENTS = 2048  # coremltools' own threshold
MIN_MEASURED_ELEMENTS = 100_000  # Apple's for mixed bits: of SD 1.5's U-Net, 280 weights with 99.9% of all numbers


@dataclass(frozen=True, kw_only=True)
class Palettization:
    """Each weight becomes an index into a table of 2^nbits values, found by k-means.

    Parameters
    ----------
    nbits : 1, 2, 3, 4, 6 or 8
        3 needs a deployment target of iOS 18 or macOS 15.
    min_elements : int
        Smaller weights stay as they are.
    """

    nbits: int
    min_elements: int = MIN_ELEMENTS

    def __post_init__(self) -> None:
        if self.nbits not in (1, 2, 3, 4, 6, 8):
            raise ConfigError(f"nbits is 1, 2, 3, 4, 6 or 8; got {self.nbits}")
        _check_min_elements(self.min_elements)


@dataclass(frozen=True, kw_only=True)
class LinearQuantization:
    """Each weight becomes a small integer times a scale.

    Parameters
    ----------
    nbits : 8 or 4
        8 with a scale for each output channel; 4 with one for each block of weights, which needs iOS 18 or macOS 15.
    block_size : int
        Inputs of a block where ``nbits`` is 4; a convolution's block has its whole window besides.
    min_elements : int
        Smaller weights stay as they are.
    """

    nbits: int = 8
    block_size: int = 32
    min_elements: int = MIN_ELEMENTS

    def __post_init__(self) -> None:
        if self.nbits not in (4, 8):
            raise ConfigError(f"linear quantization has 8 or 4 bits; got {self.nbits}")
        if self.block_size < 1:
            raise ConfigError(f"block_size is at least 1; got {self.block_size}")
        _check_min_elements(self.min_elements)


@dataclass(frozen=True, kw_only=True)
class Pruning:
    """The smallest weights become zeros, which are not stored.

    Parameters
    ----------
    sparsity : float, above 0 and below 1
        The share of weights that become zeros.
    min_elements : int
        Smaller weights stay as they are.
    """

    sparsity: float
    min_elements: int = MIN_ELEMENTS

    def __post_init__(self) -> None:
        if not 0 < self.sparsity < 1:
            raise ConfigError(f"sparsity is above 0 and below 1; got {self.sparsity}")
        _check_min_elements(self.min_elements)


@dataclass(frozen=True, kw_only=True)
class MixedBits:
    """Palettization with a number of bits for each layer, chosen by what each does to the output.

    Exactly one of the two aims is given.

    Parameters
    ----------
    target_bytes : int or None
        The largest size of the weights of the package.
    min_psnr : float or None
        The smallest signal-to-noise ratio of its output against the uncompressed one, in dB.
    min_elements : int
        Smaller weights stay as they are. Each one that is not costs five runs of the network.
    """

    target_bytes: int | None = None
    min_psnr: float | None = None
    min_elements: int = MIN_MEASURED_ELEMENTS

    def __post_init__(self) -> None:
        if (self.target_bytes is None) == (self.min_psnr is None):
            raise ConfigError(f"mixed bits have one aim: a size or a PSNR; got {self.target_bytes} bytes and {self.min_psnr} dB")
        if self.target_bytes is not None and self.target_bytes < 1:
            raise ConfigError(f"target_bytes is at least 1; got {self.target_bytes}")
        if self.min_psnr is not None and not math.isfinite(self.min_psnr):
            raise ConfigError(f"min_psnr is a finite number of dB; got {self.min_psnr}")
        _check_min_elements(self.min_elements)


def _check_min_elements(count: int) -> None:
    if count < 1:
        raise ConfigError(f"min_elements is at least 1; got {count}")


Compression: TypeAlias = Palettization | LinearQuantization | Pruning | MixedBits
