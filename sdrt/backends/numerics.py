"""Which promises of precision a backend keeps."""

from collections.abc import Collection

from sdrt.arrays import Numerics
from sdrt.errors import ConfigError

__all__ = ["PLAIN_NUMERICS", "check_numerics"]

# What every backend may be asked for; one that keeps further promises, or refuses one of these, says so itself.
PLAIN_NUMERICS: tuple[Numerics, ...] = ("float32", "float64")


def check_numerics(backend: str, kept: Collection[str], numerics: Numerics) -> None:
    """Raise ConfigError unless ``numerics`` is one of those that a backend keeps.

    >>> check_numerics("torch", PLAIN_NUMERICS, "exact")
    Traceback (most recent call last):
    ...
    sdrt.errors.ConfigError: numerics='exact' must run on a backend that has it, got backend 'torch'; pass backend='numpy'
    """
    if numerics not in kept:
        raise ConfigError(f"numerics={numerics!r} must run on a backend that has it, got backend {backend!r}; pass backend='numpy'")
