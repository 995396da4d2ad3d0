"""The stream ``generator``: ``numpy.random.Generator(PCG64(seed)).standard_normal``, today's ``default_rng``.

It is NOT frozen: NEP 19 lets numpy change the numbers of a ``Generator`` in any feature release. Use it to match a program that uses it;
for noise that must stay the same for ten years, take ``numpy``, ``torch`` or ``nv``.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

from sdrt.arrays import Float, Numerics
from sdrt.rng.base import SeededStream, State, read_state
from sdrt.rng.precision import to_dtype
from sdrt.values import Anything, Integer, Nullable

__all__ = ["GeneratorStream"]

_Normals: TypeAlias = tuple[Callable[[np.random.Generator, int], Float], Callable[[np.random.Generator, int], Float]]

_WIDE = Integer(0, 2**128 - 1)
_CURSOR = {"state": _WIDE, "inc": _WIDE, "spare": Nullable(Integer(0, 2**32 - 1))}


# Draw float64 and float32 normals from a generator: numpy's own, which asks the platform's libm about one number in a hundred, and ours.
_NUMPYS: _Normals = (
    lambda source, size: source.standard_normal(size),
    lambda source, size: source.standard_normal(size, dtype=np.float32),
)


def _own() -> _Normals:
    from sdrt.rng import ziggurat  # its tables take time to import, and exact numerics alone need them

    return (
        lambda source, size: ziggurat.ziggurat_doubles(source.bit_generator, size),
        lambda source, size: ziggurat.ziggurat_floats(source.bit_generator, size),
    )


class GeneratorStream(SeededStream):
    """``numpy.random.Generator`` over PCG64: the ziggurat method, whose float32 numbers differ from its float64 numbers.

    ``normal(shape)`` is ``standard_normal(shape, dtype=np.float32)``; float64 is ``standard_normal(shape)``; half precisions are rounded
    from float32.

    Parameters
    ----------
    seed : int, 0 <= seed < 2**128

    Raises
    ------
    ConfigError : the seed is outside that range
    """

    name = "generator"
    seed_range = (0, 2**128 - 1)

    def __init__(self, seed: int, *, numerics: Numerics = "float32") -> None:
        super().__init__(seed, numerics=numerics)
        self._source = np.random.Generator(np.random.PCG64(seed))

    def _draw(self, size: int, dims: tuple[int, ...], dtype: str) -> Float:  # noqa: ARG002
        doubles, floats = _own() if self.numerics == "exact" else _NUMPYS
        return doubles(self._source, size) if dtype == "float64" else to_dtype(floats(self._source, size), dtype)

    def _cursor(self) -> State:
        inner = self._source.bit_generator.state
        return {"state": inner["state"]["state"], "inc": inner["state"]["inc"], "spare": inner["uinteger"] if inner["has_uint32"] else None}

    def _resume(self, state: Mapping[str, Any]) -> None:
        seed, cursor = read_state(self.name, state, {"seed": _WIDE, "cursor": Anything()}).values()
        cursor = read_state(self.name, cursor, _CURSOR)
        spare = cursor["spare"]
        self._source.bit_generator.state = {
            "bit_generator": "PCG64",
            "state": {"state": cursor["state"], "inc": cursor["inc"]},
            "has_uint32": int(spare is not None),
            "uinteger": spare or 0,
        }
        self.seed = seed
