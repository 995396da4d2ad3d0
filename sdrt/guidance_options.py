"""The settings of guidance methods that have several: as an object, as a mapping of some of its fields, or as all its numbers in order."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from sdrt.values import Kind, ListOf, Number, RefusedError

__all__ = ["AMOUNT", "APG", "APG_KIND", "DYNAMIC_THRESHOLDING_KIND", "SCALE", "DynamicThresholding", "MethodKind"]

# What a scale may be: far beyond every use, and short of the numbers that overflow float32. An amount is a share.
SCALE = Number(minimum=-1e9, maximum=1e9)
AMOUNT = Number(minimum=0, maximum=1)


@dataclass(frozen=True, kw_only=True)
class APG:
    """Adaptive projected guidance (Sadat et al. 2024): high scales without saturated colours. The defaults are the paper's for SDXL.

    Parameters
    ----------
    eta : float from -10 to 10
        How much of the part of guidance along the denoised sample remains: 1 leaves it whole, 0 takes it away.
    norm_threshold : float, at least 0
        The longest that a difference of denoised samples may be, as a Euclidean norm over an image's latents; 0 sets no limit. It grows
        with the size of the picture: 15 is for 4 x 128 x 128 latents.
    momentum : float in [-1, 1]
        The share of the running sum of earlier differences that is added; negative ones push away from it, 0 adds none.

    Raises
    ------
    ConfigError : a value is not such a number
    """

    KINDS: ClassVar[Mapping[str, Kind[float]]] = {
        "eta": Number(minimum=-10, maximum=10),
        "norm_threshold": Number(minimum=0, maximum=1e9),
        "momentum": Number(minimum=-1, maximum=1),
    }

    eta: float = 0.0
    norm_threshold: float = 15.0
    momentum: float = -0.5

    def __post_init__(self) -> None:
        _check(self, "apg")


@dataclass(frozen=True, kw_only=True)
class DynamicThresholding:
    """Dynamic thresholding (Saharia et al. 2022) with a mimic scale: high scales whose colours keep the range of a lower one.

    Parameters
    ----------
    percentile : float in [0, 1]
        The share of a channel's values that may not be clipped: 1 clips none, and scales alone.
    mimic_scale : float
        The guidance scale whose range of values is kept. At that of the run or above, nothing changes.

    Raises
    ------
    ConfigError : a value is not such a number
    """

    KINDS: ClassVar[Mapping[str, Kind[float]]] = {
        "percentile": AMOUNT,
        "mimic_scale": SCALE,
    }

    percentile: float = 0.995
    mimic_scale: float = 7.0

    def __post_init__(self) -> None:
        _check(self, "dynamic_thresholding")


class MethodKind(Kind[Any]):
    """The settings of one method.

    Parameters
    ----------
    settings : APG or DynamicThresholding, the class
    """

    def __init__(self, settings: type[APG] | type[DynamicThresholding]) -> None:
        self._settings = settings
        self._names = tuple(each.name for each in fields(settings))

    def describe(self) -> str:
        return f"an sdrt.{self._settings.__name__}, or its numbers {', '.join(self._names)}"

    def convert(self, value: object) -> Any:
        if isinstance(value, self._settings):
            return value
        if isinstance(value, Mapping):
            if not value.keys() <= set(self._names):
                raise RefusedError
            return self._settings(**value)
        numbers = ListOf(Number(), minimum=len(self._names), maximum=len(self._names)).convert(value)
        return self._settings(**dict(zip(self._names, numbers, strict=True)))


APG_KIND = MethodKind(APG)
DYNAMIC_THRESHOLDING_KIND = MethodKind(DynamicThresholding)


def _check(settings: APG | DynamicThresholding, method: str) -> None:
    for name, kind in settings.KINDS.items():
        object.__setattr__(settings, name, float(kind.check(f"{method}'s {name}", getattr(settings, name))))
