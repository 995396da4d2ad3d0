"""How weights are made smaller: one frozen record for each way."""

from dataclasses import dataclass
from typing import TypeAlias

from sdrt.errors import ConfigError

__all__ = ["Compression", "LinearQuantization", "MixedBits", "Palettization", "Pruning"]


@dataclass(frozen=True, kw_only=True)
class Palettization:
    """Each weight becomes an index into a table of 2^nbits values, found by k-means.

    Parameters
    ----------
    nbits : 1, 2, 3, 4, 6 or 8
        3 needs a deployment target of iOS 18 or macOS 15.
    """

    nbits: int

    def __post_init__(self) -> None:
        if self.nbits not in (1, 2, 3, 4, 6, 8):
            raise ConfigError(f"nbits is 1, 2, 3, 4, 6 or 8; got {self.nbits}")


@dataclass(frozen=True, kw_only=True)
class LinearQuantization:
    """Each weight becomes a small integer times a scale.

    Parameters
    ----------
    nbits : 8 or 4
        8 with a scale for each output channel; 4 with one for each block of weights, which needs iOS 18 or macOS 15.
    block_size : int
        Weights of a block where ``nbits`` is 4.
    """

    nbits: int = 8
    block_size: int = 32

    def __post_init__(self) -> None:
        if self.nbits not in (4, 8):
            raise ConfigError(f"linear quantization has 8 or 4 bits; got {self.nbits}")
        if self.block_size < 1:
            raise ConfigError(f"block_size is at least 1; got {self.block_size}")


@dataclass(frozen=True, kw_only=True)
class Pruning:
    """The smallest weights become zeros, which are not stored.

    Parameters
    ----------
    sparsity : float, above 0 and below 1
        The share of weights that become zeros.
    """

    sparsity: float

    def __post_init__(self) -> None:
        if not 0 < self.sparsity < 1:
            raise ConfigError(f"sparsity is above 0 and below 1; got {self.sparsity}")


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
    """

    target_bytes: int | None = None
    min_psnr: float | None = None

    def __post_init__(self) -> None:
        if (self.target_bytes is None) == (self.min_psnr is None):
            raise ConfigError(f"mixed bits have one aim: a size or a PSNR; got {self.target_bytes} bytes and {self.min_psnr} dB")


Compression: TypeAlias = Palettization | LinearQuantization | Pruning | MixedBits
