"""The options of a run's U-Net, for each kind of row."""

from collections.abc import Sequence
from dataclasses import dataclass

from sdrt.backends import PLAIN, ComponentOptions
from sdrt.guidance import Row
from sdrt.guidance.rows import PERTURBED

__all__ = ["UNetOptions"]


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
