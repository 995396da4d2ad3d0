"""FreeU's factors: how much of a U-Net's backbone and of its skip connections goes into the first two stages of the way up.

Source: Si et al. 2023 (arXiv:2309.11497), equations 4 to 8, in the form of diffusers 0.42.1 ``apply_freeu``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields

from sdrt.values import Kind, ListOf, Number, RefusedError

__all__ = ["FREEU", "FreeU", "FreeUKind"]

# diffusers takes a factor of 0 as FreeU being off; beyond 100 values outgrow float16 and say nothing
_FACTOR = Number(minimum=0, maximum=100, above=True)


@dataclass(frozen=True, kw_only=True)
class FreeU:
    """Amplify the backbone of a U-Net, and damp the low frequencies of its skip connections; 1 changes nothing.

    Good values: b1=1.5, b2=1.6, s1=0.9, s2=0.2 for Stable Diffusion 1.x; 1.4, 1.6, 0.9, 0.2 for 2.x; 1.3, 1.4, 0.9, 0.2 for XL.

    Parameters
    ----------
    b1, b2 : float, above 0
        What the first half of the backbone's channels is multiplied by, in the first and second stage of the way up.
    s1, s2 : float, above 0
        What the lowest frequencies of the skip connections are multiplied by, in the same stages.

    Raises
    ------
    ConfigError : a factor is not such a number
    """

    b1: float
    b2: float
    s1: float
    s2: float

    def __post_init__(self) -> None:
        for each in fields(self):
            value = _FACTOR.check(f"freeu's {each.name}", getattr(self, each.name), "1 changes nothing")
            object.__setattr__(self, each.name, float(value))


class FreeUKind(Kind[FreeU]):
    """FreeU's factors: as their object, by name, or as four numbers."""

    def describe(self) -> str:
        return f"an sdrt.FreeU, or four numbers b1, b2, s1, s2, each {_FACTOR.describe()}"

    def convert(self, value: object) -> FreeU:
        if isinstance(value, FreeU):
            return value
        names = [each.name for each in fields(FreeU)]
        if isinstance(value, Mapping):
            if value.keys() != set(names):
                raise RefusedError
            value = [value[name] for name in names]
        factors = ListOf(_FACTOR, minimum=4, maximum=4).convert(value)
        return FreeU(**dict(zip(names, factors, strict=True)))


FREEU = FreeUKind()
