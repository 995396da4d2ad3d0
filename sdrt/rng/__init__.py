"""Named noise streams: the same seed gives the same numbers as the program that the stream is named after.

=================  =====================================================================  =====================================
name               reproduces                                                             accuracy
=================  =====================================================================  =====================================
``torch``          a torch CPU generator on x86-64 (diffusers, ComfyUI, webui's "CPU")    bit for bit
``torch-scalar``   a torch CPU generator on ARM and Macs                                  98 % of the values; others to 5e-7
``nv``             ``torch.randn(device="cuda")`` (diffusers on a GPU, webui's "NV")      words exactly; normals to about 1e-6
``numpy``          ``np.random.seed; np.random.randn`` (Apple's Core ML pipelines)        bit for bit
``generator``      ``np.random.Generator(np.random.PCG64(seed))``                         bit for bit; numpy may change it
``libstdc++``      ``std::normal_distribution<float>`` of GCC's library                   bit for bit (GCC 12, glibc)
                   (stable-diffusion.cpp's ``std_default``)
=================  =====================================================================  =====================================

Names are read in any letter case. Apple's ``nvidia`` is ``nv``, and stable-diffusion.cpp's ``std_default`` is ``libstdc++``.

`from_arrays` makes a stream of existing arrays. Every stream can report its position (``state``), return to it (`from_state`, ``restore``)
and skip numbers that another program has drawn (``advance``). Streams are independent objects: the initial noise and the sampler's noise
may come from one stream or from two.

>>> noise = stream("torch", 0)
>>> noise.normal((1, 4, 64, 64))[0, 0, 0, :3]  # torch.randn(1, 4, 64, 64, generator=torch.Generator().manual_seed(0))
array([-1.1258398 , -1.1523602 , -0.25057858], dtype=float32)
"""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, SupportsIndex

import numpy as np

from sdrt.arrays import Array, Numerics
from sdrt.errors import ConfigError
from sdrt.printable import shown
from sdrt.rng.array_stream import ArrayStream
from sdrt.rng.base import BaseStream, NoiseStream, SeededStream
from sdrt.rng.brownian import BrownianTree
from sdrt.rng.generator_stream import GeneratorStream
from sdrt.rng.libstdcxx_stream import LibstdcxxStream
from sdrt.rng.numpy_stream import NumpyStream
from sdrt.rng.nv_stream import NvStream
from sdrt.rng.torch_scalar_stream import TorchScalarStream
from sdrt.rng.torch_stream import TorchStream
from sdrt.values import Integer

__all__ = [
    "BaseStream",
    "BrownianTree",
    "NoiseStream",
    "SeededStream",
    "canonical_name",
    "from_arrays",
    "from_state",
    "given",
    "names",
    "stream",
]

_STREAMS: dict[str, type[SeededStream]] = {
    maker.name: maker for maker in (GeneratorStream, LibstdcxxStream, NumpyStream, NvStream, TorchScalarStream, TorchStream)
}


_OTHER_NAMES = {"nvidia": "nv", "std_default": "libstdc++"}

_SEED = Integer()


def names() -> tuple[str, ...]:
    """Return the names that `stream` accepts, sorted."""
    return tuple(sorted(_STREAMS))


def stream(name: str, seed: SupportsIndex, *, numerics: Numerics = "float32", **options: Any) -> SeededStream:
    """Make the named stream, positioned at the start of this seed.

    Parameters
    ----------
    name : str
        One of `names`.
    seed : integer
        The range depends on the stream: [0, 2**32) for numpy, [0, 2**64) for libstdc++, [0, 2**128) for generator, [-2**63, 2**64)
        for the others.
    numerics : "float32", "float64" or "exact"
        "exact" takes sdrt's own logarithm, sine and cosine: the same bits on every machine, within the accuracy above of what the stream is
        named after. The others take the platform's.
    options
        ``threads`` for ``nv``: how many threads the GPU holds at once (`sdrt.rng.nv_stream.NvStream`).

    Raises
    ------
    ConfigError : unknown name, numerics or option, or a seed outside the stream's range
    """
    maker = _maker(name)
    number = int(seed) if isinstance(seed, bool | np.bool_) else _SEED.check("a seed", seed, "pass a whole number")
    if unknown := sorted(options.keys() - set(maker.option_names)):
        known = ", ".join(maker.option_names) or "none"
        raise ConfigError(f"options of the {name!r} stream must be among: {known}, got {', '.join(unknown)}; leave that out")
    return maker(number, numerics=numerics, **options)


def canonical_name(name: str) -> str:
    """Return the entry of `names` that a name means: in any letter case, and by another program's name for it.

    Raises
    ------
    ConfigError : unknown name

    >>> canonical_name("NVIDIA")
    'nv'
    """
    folded = name.lower() if isinstance(name, str) else name
    found = _OTHER_NAMES.get(folded, folded) if isinstance(folded, str) else None
    if found not in _STREAMS:
        raise ConfigError(f"a noise stream must be one of {', '.join(names())}, got {shown(name)}; choose one of those")
    return found


def from_arrays(pieces: Array | Sequence[Array]) -> ArrayStream:
    """Make a stream that hands out existing arrays in order: latents first, then one array for each draw of the sampler.

    Raises
    ------
    ConfigError, ArrayContractError : see `sdrt.rng.array_stream.ArrayStream`
    """
    return ArrayStream(pieces)


def given(pieces: Array | Sequence[Array]) -> ArrayStream:
    """Make the stream of `from_arrays`, whose name this was in 0.1.0; warns with DeprecationWarning."""
    warnings.warn("sdrt.rng.given is deprecated; call sdrt.rng.from_arrays", DeprecationWarning, stacklevel=2)
    return from_arrays(pieces)


def from_state(state: Mapping[str, Any]) -> SeededStream:
    """Make the stream that this state was taken from, at the same position; the state may have been stored as JSON in between.

    Raises
    ------
    ConfigError : not a state of a seeded stream. A state of `from_arrays` lacks the arrays: make that stream again and ``restore`` it.

    >>> noise = stream("nv", 7)
    >>> noise.advance(100)
    >>> again = from_state(noise.state)
    >>> bool((noise.normal(5) == again.normal(5)).all())
    True
    """
    name = state.get("stream") if isinstance(state, Mapping) else None
    if isinstance(name, str) and name == ArrayStream.name:
        raise ConfigError(
            "a state of a stream of arrays does not hold the arrays; make the stream with sdrt.rng.from_arrays and call its restore(state)"
        )
    if not isinstance(name, str):
        raise ConfigError(f"a state must be the dict of a stream's .state, got {shown(state)}; pass that dict")
    restored = _maker(name)(0)
    restored.restore(state)
    return restored


def _maker(name: str) -> type[SeededStream]:
    return _STREAMS[canonical_name(name)]
