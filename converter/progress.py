"""How a conversion tells what it does."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["Progress", "Step"]


@dataclass(frozen=True, kw_only=True)
class Step:
    """What is begun.

    Parameters
    ----------
    package : str
        The stem of the file that it is for; empty for what is for all of them.
    stage : str
        In words: ``reading``, ``converting``, ``compressing``, ...
    done, total : int
        Stages that are over, and all of them, of every package together.
    detail : str
        What a long stage is at.
    """

    package: str
    stage: str
    done: int
    total: int
    detail: str = ""


Progress: TypeAlias = Callable[[Step], None]
