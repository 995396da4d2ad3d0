"""The options of a run's U-Net, for each kind of row; a refiner has none."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sdrt.backends import PLAIN, ComponentOptions
from sdrt.freeu import FREEU
from sdrt.guidance import Row
from sdrt.guidance.rows import PERTURBED
from sdrt.pipeline.options import GenerateOptions

__all__ = ["PLAIN_UNET", "UNetOptions", "read_unet_options", "record_unet_options"]


@dataclass(frozen=True)
class UNetOptions:
    """The options of a run's U-Net.

    Parameters
    ----------
    every : ComponentOptions
        For all rows but those of the kind ``perturbed``.
    perturbed : ComponentOptions
        For these.
    """

    every: ComponentOptions = PLAIN
    perturbed: ComponentOptions = PLAIN

    def of(self, row: Row) -> ComponentOptions:
        """Return the options for a kind of row."""
        return self.perturbed if row == PERTURBED else self.every

    def distinct(self, rows: Sequence[Row]) -> tuple[ComponentOptions, ...]:
        """Return the options for these rows, each once."""
        return tuple(dict.fromkeys(self.of(row) for row in rows))


PLAIN_UNET = UNetOptions()


def record_unet_options(options: GenerateOptions) -> dict[str, Any]:
    """Return those options of a call that change what its U-Net computes, as conditions of its record."""
    freeu = options.get("freeu")
    return {} if freeu is None else {"freeu": asdict(freeu)}


def read_unet_options(conditions: Mapping[str, Any]) -> UNetOptions:
    """Return the options of the U-Net that the conditions of a record name."""
    if "freeu" not in conditions:
        return PLAIN_UNET
    every = ComponentOptions(freeu=FREEU.convert(conditions["freeu"]))
    return UNetOptions(every, every)
