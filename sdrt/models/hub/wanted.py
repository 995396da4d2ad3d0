"""What is wanted of a repository, and what was chosen of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sdrt.models.base import Pickled
from sdrt.models.components import ComponentName
from sdrt.models.hub.hub_file import HubFile

__all__ = ["ALL_NEEDED", "Chosen", "Needs", "Wanted"]


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a pipeline or a conversion will open of a model, so that nothing else is fetched of a repository; by default everything.

    Parameters
    ----------
    packages : bool or None
        Whether it must be Core ML packages, or must not; None takes either, weights before packages.
    without : frozenset of ComponentName
        Components that will not be opened.
    controlnets : tuple of str, or None
        Of a folder of packages: names of its ControlNets that will be opened; None is all.
    refiner : bool
        Of a folder of packages: whether its refiner will be opened.
    """

    packages: bool | None = None
    without: frozenset[ComponentName] = field(default_factory=frozenset)
    controlnets: tuple[str, ...] | None = None
    refiner: bool = True


ALL_NEEDED = Needs()


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is wanted of a repository.

    Parameters
    ----------
    variant : str or None
        Of the weights (``"fp16"``), or the folder of packages (``"split_einsum/compiled"``).
    pickled : "refuse" or "weights_only"
        Whether pickled weights will do.
    needs : Needs
    """

    variant: str | None = None
    pickled: Pickled = "refuse"
    needs: Needs = ALL_NEEDED


@dataclass(frozen=True)
class Chosen:
    """What was chosen.

    Parameters
    ----------
    files : tuple of HubFile
        What is needed.
    place : str
        What to open, as a path in the repository: a folder, or a file; the empty text is the repository itself.
    remarks : mapping from topic to sentence
        What was assumed.
    """

    files: tuple[HubFile, ...]
    place: str = ""
    remarks: Mapping[str, str] = field(default_factory=dict)
