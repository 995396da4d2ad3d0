"""Values of options that are one for all networks of a kind, or one for each."""

from collections.abc import Sequence
from typing import TypeVar

from sdrt.errors import ConfigError

__all__ = ["for_each"]

T = TypeVar("T")


def for_each(name: str, value: T | Sequence[T] | None, default: T, count: int, what: str) -> list[T]:
    """Return one value for each: the default, one for all, or a list as it is."""
    if value is None:
        return [default] * count
    if isinstance(value, str) or not isinstance(value, Sequence):
        return [value] * count
    if len(value) != count:
        raise ConfigError(
            f"{name} must be one value, or one for each of {count} {what}, got {len(value)}; leave some out, or add the others"
        )
    return list(value)
