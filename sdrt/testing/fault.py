"""What a check reports: a fault of one of a closed list of kinds, and a sentence with the numbers."""

from dataclasses import dataclass

from sdrt.errors import ConfigError
from sdrt.printable import shown
from sdrt.testing.fault_kinds import KINDS

__all__ = ["Fault"]


@dataclass(frozen=True)
class Fault:
    """Something that a port does otherwise than the original.

    Parameters
    ----------
    kind : str
        One of `sdrt.testing.KINDS`, for programs.
    message : str
        For people: what was compared, where it first departs, and by how much. One line.

    Raises
    ------
    ConfigError : a kind that is not in the list

    >>> print(Fault("timesteps_off_by_one", "DDIMScheduler, 10 steps: the first timestep must be 901, got 900"))
    timesteps_off_by_one: DDIMScheduler, 10 steps: the first timestep must be 901, got 900
    """

    kind: str
    message: str

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(f"the kind of a fault must be in sdrt.testing.KINDS, got {shown(self.kind)}; take one of those or add it")

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}"
