"""A recipe: the number of bits for each weight of a model, stored so that it can be applied again."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from converter.compression.weights import Weight
from sdrt.errors import ConfigError, MissingFileError, ModelError

__all__ = ["Recipe", "RecipeEntry"]


@dataclass(frozen=True, kw_only=True)
class RecipeEntry:
    """One weight: its name and digest, and its number of bits; 16 leaves it uncompressed."""

    name: str
    digest: str
    bits: int

    def __post_init__(self) -> None:
        if self.bits not in (1, 2, 4, 6, 8, 16):
            raise ConfigError(f"bits of a recipe must be 1, 2, 4, 6, 8 or 16, got {self.bits} for {self.name!r}; choose one of those")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The number of bits for each weight of one model.

    Parameters
    ----------
    entries : tuple of RecipeEntry
    weight_bytes : int
        The size of the model's weights under this recipe.
    psnr : float or None
        The measured PSNR of the output under this recipe against the uncompressed model's, in dB; None if it is not known.
    """

    entries: tuple[RecipeEntry, ...]
    weight_bytes: int
    psnr: float | None

    def mean_bits(self, weights: Sequence[Weight]) -> float:
        """Return the mean number of bits of a number, over the weights that the recipe names."""
        bits = self.bits_for(weights)
        counts = {weight.name: weight.count for weight in weights if weight.name in bits}
        return sum(count * bits[name] for name, count in counts.items()) / max(sum(counts.values()), 1)

    def bits_for(self, weights: Sequence[Weight]) -> dict[str, int]:
        """Return the number of bits of each weight, by name.

        Raises
        ------
        ConfigError : a weight of the recipe is not among these, or a different one has its name
        """
        digests: Mapping[str, str] = {weight.name: weight.digest for weight in weights}
        strangers = [entry.name for entry in self.entries if digests.get(entry.name) != entry.digest]
        if strangers:
            raise ConfigError(
                f"a recipe must belong to this model, got one with {len(strangers)} of {len(self.entries)} weights of another, "
                f"{strangers[0]!r} first; measure this model again"
            )
        return {entry.name: entry.bits for entry in self.entries}

    def save(self, path: Path) -> None:
        """Write the recipe as JSON."""
        path.write_text(json.dumps({"format": 1, **asdict(self)}, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "Recipe":
        """Read a recipe that `save` wrote.

        Raises
        ------
        MissingFileError : no such file
        ModelError : not a recipe
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content.pop("format") != 1:
                raise ValueError("its format is not 1")
            entries = tuple(RecipeEntry(**entry) for entry in content.pop("entries"))
            return cls(entries=entries, **content)
        except FileNotFoundError as error:
            raise MissingFileError(f"{path}: must be a saved recipe, got no such file; save one first") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelError(f"{path}: must be a recipe, got one that cannot be read ({error}); save it again") from error
