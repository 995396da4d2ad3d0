"""Reading a component's configuration: a key whose value asks for something that is not built is refused by name.

The kinds of values were checked where the configuration entered (`sdrt.models.components.keys`). Keys that a class of diffusers or
transformers does not know are ignored there as here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdrt.errors import ConfigError
from sdrt.printable import shown

__all__ = ["ConfigReader"]


@dataclass(frozen=True)
class ConfigReader:
    """A configuration and the file that it came from."""

    file: Path
    values: Mapping[str, Any]

    def refuse(self, key: str, supported: str) -> ConfigError:
        return ConfigError(f"{self.file}: {key} is {shown(self.values[key])}; the numpy backend runs {supported}")

    def only(self, key: str, *allowed: object) -> Any:
        """Read the value of ``key``, which must be one of these."""
        value = self.values[key]
        # True == 1 for Python, but a configuration that says so means something else
        if not any(type(value) is type(choice) and value == choice for choice in allowed):
            raise self.refuse(key, " or ".join(map(repr, allowed)))
        return value

    def divisor(self, key: str, *multiples: int) -> int:
        """Read a whole number that divides all of these."""
        value = self.values[key]
        if value is None or any(multiple % value for multiple in multiples):
            raise self.refuse(key, f"a divisor of {', '.join(map(str, dict.fromkeys(multiples)))}")
        return int(value)

    def per_level(self, key: str, levels: int) -> tuple[Any, ...]:
        """Read a value for each level, from one for all or a list."""
        value = self.values[key]
        return (value,) * levels if isinstance(value, int) else tuple(value)

    def kinds(self, key: str, choices: Mapping[str, bool]) -> tuple[bool, ...]:
        """Read what each level's block type stands for."""
        value = self.values[key]
        if not all(entry in choices for entry in value):
            raise self.refuse(key, f"blocks that are each {' or '.join(choices)}")
        return tuple(choices[entry] for entry in value)
