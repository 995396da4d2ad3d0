"""How a conversion reports its progress."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["ConversionStage", "Progress", "ProgressUpdate"]

ConversionStage: TypeAlias = Literal["reading", "converting", "compressing", "comparing with its source", "cutting in two", "bundling"]
"""What is done to a package, in order; ``bundling`` comes once, after all packages."""


@dataclass(frozen=True, kw_only=True)
class ProgressUpdate:
    """A stage that begins.

    Parameters
    ----------
    package : str
        The stem of the package's file; empty for a stage that concerns all packages.
    stage : ConversionStage
    done, total : int
        The number of finished stages and of all stages, over all packages.
    detail : str
        The current item of a long stage.
    """

    package: str
    stage: ConversionStage
    done: int
    total: int
    detail: str = ""


Progress: TypeAlias = Callable[[ProgressUpdate], None]
