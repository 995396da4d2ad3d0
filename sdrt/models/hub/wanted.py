"""What is wanted of a repository, and what was chosen of it."""

from dataclasses import dataclass, field

from sdrt.models.base import Pickled
from sdrt.models.components import ComponentName
from sdrt.models.hub.hub_file import HubFile

__all__ = ["Chosen", "Wanted"]


@dataclass(frozen=True)
class Wanted:
    """What is wanted of a repository.

    Parameters
    ----------
    variant : str or None
        Of the weights (``"fp16"``), or the folder of packages (``"split_einsum/compiled"``).
    pickled : "refuse" or "weights_only"
        Whether pickled weights will do.
    packages : bool or None
        Whether it must hold Core ML packages; None takes either, weights before packages.
    without : frozenset of ComponentName
        Components whose weights or packages are not needed.
    controlnets : tuple of str
        Names of the ControlNets that are needed from a folder of packages.
    """

    variant: str | None = None
    pickled: Pickled = "refuse"
    packages: bool | None = None
    without: frozenset[ComponentName] = field(default_factory=frozenset)
    controlnets: tuple[str, ...] = ()


@dataclass(frozen=True)
class Chosen:
    """What was chosen.

    Parameters
    ----------
    files : tuple of HubFile
        What is needed.
    place : str
        What to open, as a path in the repository: a folder, or a file; the empty text is the repository itself.
    remark : str or None
        What was assumed.
    """

    files: tuple[HubFile, ...]
    place: str = ""
    remark: str | None = None
