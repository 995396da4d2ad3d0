"""Named streams of noise: the same seed gives the same numbers as the program that the stream is named after.

=================  =====================================================================  =====================================
name               gives                                                                  equal to it
=================  =====================================================================  =====================================
``torch``          a torch CPU generator on x86-64 (diffusers, ComfyUI, webui's "CPU")    bit for bit
``torch-scalar``   a torch CPU generator on ARM and Macs                                  98 % of the values; 5e-7
``nv``             ``torch.randn(device="cuda")`` (diffusers on a GPU, webui's "NV")      the words; normals to about 1e-6
``numpy``          ``np.random.seed; np.random.randn`` (Apple's Core ML pipelines)        bit for bit
``generator``      ``np.random.Generator(np.random.PCG64(seed))``                         bit for bit; numpy may change it
=================  =====================================================================  =====================================

:func:`given` hands out arrays made elsewhere. Every stream can say where it stands (``state``), be put there again (:func:`from_state`,
``restore``) and skip what another program has drawn (``advance``). Streams are independent objects: initial noise and a sampler's noise may
come from one or from two.

>>> noise = stream("torch", 0)
>>> noise.normal((1, 4, 64, 64))[0, 0, 0, :3]  # torch.randn(1, 4, 64, 64, generator=torch.Generator().manual_seed(0))
array([-1.1258398 , -1.1523602 , -0.25057858], dtype=float32)
"""

import operator
from collections.abc import Mapping, Sequence
from typing import Any, SupportsIndex

from sdrt.arrays import Array
from sdrt.errors import ConfigError
from sdrt.rng.base import BaseStream, NoiseStream, SeededStream
from sdrt.rng.brownian import BrownianTree
from sdrt.rng.generator_stream import GeneratorStream
from sdrt.rng.given_stream import GivenStream
from sdrt.rng.numpy_stream import NumpyStream
from sdrt.rng.nv_stream import NvStream
from sdrt.rng.torch_scalar_stream import TorchScalarStream
from sdrt.rng.torch_stream import TorchStream

__all__ = ["BaseStream", "BrownianTree", "NoiseStream", "from_state", "given", "names", "stream"]

_STREAMS: dict[str, type[SeededStream]] = {
    maker.name: maker for maker in (GeneratorStream, NumpyStream, NvStream, TorchScalarStream, TorchStream)
}


def names() -> tuple[str, ...]:
    """Return the names that :func:`stream` knows, sorted."""
    return tuple(sorted(_STREAMS))


def stream(name: str, seed: SupportsIndex, **options: Any) -> SeededStream:
    """Make the stream of this name, at the beginning of this seed.

    Parameters
    ----------
    name : str
        One of :func:`names`.
    seed : integer
        The range is the stream's own: [0, 2**32) for numpy, [0, 2**128) for generator, [-2**63, 2**64) for the others.
    options
        ``threads`` for ``nv``: how many threads the card holds at once (:class:`~sdrt.rng.nv_stream.NvStream`).

    Raises
    ------
    ConfigError : unknown name or option, or a seed that the stream cannot take
    """
    maker = _maker(name)
    try:
        number = int(operator.index(seed))  # a plain int, also of True
    except TypeError as error:
        raise ConfigError(f"a seed must be an integer, got {seed!r}; pass a whole number") from error
    if unknown := sorted(options.keys() - set(maker.option_names)):
        known = ", ".join(maker.option_names) or "none"
        raise ConfigError(f"the {name!r} stream has no option {', '.join(unknown)}; its options: {known}")
    return maker(number, **options)


def given(pieces: Array | Sequence[Array]) -> GivenStream:
    """Make a stream that hands out these arrays in order: latents first, then one array for each draw of the sampler.

    Raises
    ------
    ConfigError, ArrayContractError : as :class:`~sdrt.rng.given_stream.GivenStream` says
    """
    return GivenStream(pieces)


def from_state(state: Mapping[str, Any]) -> SeededStream:
    """Make the stream that gave this state, standing where it stood; the state may have been JSON in between.

    Raises
    ------
    ConfigError : no state of a seeded stream. That of :func:`given` lacks the arrays: make the stream again and call its ``restore``.

    >>> noise = stream("nv", 7)
    >>> noise.advance(100)
    >>> again = from_state(noise.state)
    >>> bool((noise.normal(5) == again.normal(5)).all())
    True
    """
    name = state.get("stream") if isinstance(state, Mapping) else None
    if name == GivenStream.name:
        raise ConfigError(
            "a state of given noise does not hold the arrays; make the stream with sdrt.rng.given and call its restore(state)"
        )
    if not isinstance(name, str):
        raise ConfigError(f"a state must be what a stream's .state gave, got {state!r:.80}; pass that dict")
    found = _maker(name)(0)
    found.restore(state)
    return found


def _maker(name: str) -> type[SeededStream]:
    if name not in _STREAMS:
        raise ConfigError(f"no noise stream is named {name!r}; choose one of {', '.join(names())}")
    return _STREAMS[name]
