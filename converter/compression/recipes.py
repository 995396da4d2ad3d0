"""A recipe: how many bits each weight of a model gets, to be kept and applied again."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from converter.compression.weights import Weight
from sdrt.errors import ConfigError, MissingFileError, ModelError

__all__ = ["Recipe", "RecipeEntry"]


@dataclass(frozen=True, kw_only=True)
class RecipeEntry:
    """One weight: its name and digest, and its bits; 16 leaves it as it is."""

    name: str
    digest: str
    bits: int

    def __post_init__(self) -> None:
        if self.bits not in (1, 2, 4, 6, 8, 16):
            raise ConfigError(f"a recipe gives 1, 2, 4, 6, 8 or 16 bits; got {self.bits} for {self.name!r}")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Bits for the weights of one model.

    Parameters
    ----------
    entries : tuple of RecipeEntry
    weight_bytes : int
        What the model's weights take with it.
    psnr : float
        Of the output with it, against the uncompressed model's, in dB, as measured.
    """

    entries: tuple[RecipeEntry, ...]
    weight_bytes: int
    psnr: float

    def mean_bits(self, weights: Sequence[Weight]) -> float:
        """Bits of a number, on average over the weights that the recipe names."""
        bits = self.bits_for(weights)
        counts = {weight.name: weight.count for weight in weights if weight.name in bits}
        return sum(count * bits[name] for name, count in counts.items()) / max(sum(counts.values()), 1)

    def bits_for(self, weights: Sequence[Weight]) -> dict[str, int]:
        """Bits by name.

        Raises
        ------
        ConfigError : a weight of the recipe is not among these, or is another one of this name
        """
        digests: Mapping[str, str] = {weight.name: weight.digest for weight in weights}
        strangers = [entry.name for entry in self.entries if digests.get(entry.name) != entry.digest]
        if strangers:
            raise ConfigError(
                f"the recipe is another model's: {len(strangers)} of its {len(self.entries)} weights are not this model's, "
                f"{strangers[0]!r} first; measure this model anew"
            )
        return {entry.name: entry.bits for entry in self.entries}

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(json.dumps({"format": 1, **asdict(self)}, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "Recipe":
        """Read what `save` wrote.

        Raises
        ------
        MissingFileError : there is no such file
        ModelError : it is no recipe
        """
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            if found.pop("format") != 1:
                raise ValueError("its format is not 1")
            entries = tuple(RecipeEntry(**entry) for entry in found.pop("entries"))
            return cls(entries=entries, **found)
        except FileNotFoundError as error:
            raise MissingFileError(f"{path}: no such recipe; save one first") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelError(f"{path}: is no recipe that can be read ({error}); save it again") from error
