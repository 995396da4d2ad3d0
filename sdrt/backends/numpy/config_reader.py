"""Reading a component's configuration: a key whose value asks for something that is not built is refused by name.

Keys that a class of diffusers or transformers does not know are ignored there as here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdrt.errors import ConfigError

__all__ = ["ConfigReader", "is_count"]


@dataclass(frozen=True)
class ConfigReader:
    """A configuration and the file that it came from."""

    file: Path
    values: Mapping[str, Any]

    def refuse(self, key: str, supported: str) -> ConfigError:
        return ConfigError(f"{self.file}: {key} is {self.values[key]!r}; the numpy backend runs {supported}")

    def only(self, key: str, *allowed: object) -> Any:
        """Read the value of ``key``, which must be one of these."""
        value = self.values[key]
        # True == 1 for Python, but a configuration that says so means something else
        if not any(type(value) is type(choice) and value == choice for choice in allowed):
            raise self.refuse(key, " or ".join(map(repr, allowed)))
        return value

    def integer(self, key: str) -> int:
        value = self.values[key]
        if not is_count(value):
            raise self.refuse(key, "a whole number above 0")
        return int(value)

    def divisor(self, key: str, *multiples: int) -> int:
        """Read a whole number that divides all of these."""
        value = self.values[key]
        if not is_count(value) or any(multiple % value for multiple in multiples):
            raise self.refuse(key, f"a divisor of {', '.join(map(str, dict.fromkeys(multiples)))}")
        return int(value)

    def number(self, key: str) -> float:
        value = self.values[key]
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise self.refuse(key, "a number")
        return float(value)

    def boolean(self, key: str) -> bool:
        return bool(self.only(key, False, True))

    def integers(self, key: str) -> tuple[int, ...]:
        value = self.values[key]
        if not isinstance(value, Sequence) or not value or not all(is_count(entry) for entry in value):
            raise self.refuse(key, "a list of whole numbers above 0")
        return tuple(value)

    def per_level(self, key: str, levels: int) -> tuple[int, ...]:
        """Read a number for each level, from one number for all or a list."""
        value = self.values[key]
        values = (value,) * levels if not isinstance(value, Sequence) else tuple(value)
        if len(values) != levels or not all(is_count(entry) for entry in values):
            raise self.refuse(key, f"a whole number above 0, or a list of {levels}")
        return values

    def flags(self, key: str, levels: int) -> tuple[bool, ...]:
        value = self.values[key]
        values = (value,) * levels if not isinstance(value, Sequence) else tuple(value)
        if len(values) != levels or not all(isinstance(entry, bool) for entry in values):
            raise self.refuse(key, f"true, false, or a list of {levels} of them")
        return values

    def kinds(self, key: str, levels: int, choices: Mapping[str, bool]) -> tuple[bool, ...]:
        """Read what each level's block type stands for."""
        value = self.values[key]
        if not isinstance(value, Sequence) or len(value) != levels or not all(entry in choices for entry in value):
            raise self.refuse(key, f"{levels} blocks, as many as block_out_channels has, each {' or '.join(choices)}")
        return tuple(choices[entry] for entry in value)


def is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
