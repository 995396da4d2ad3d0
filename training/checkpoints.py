"""Write checkpoints that an interruption cannot spoil: under a temporary name first, then renamed."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch


def save(path: Path, state: dict[str, Any]) -> None:
    """Replace the checkpoint at `path` in one step: readers see the old state or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        torch.save(state, temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def load(path: Path) -> dict[str, Any] | None:
    """Load the saved state (tensors on the CPU), or None if there is none yet."""
    if not path.exists():
        return None
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def load_average(path: Path, parameters: Iterable[torch.nn.Parameter]) -> None:
    """Replace parameters by their moving average in a checkpoint, finished or not."""
    state = load(path)
    if state is None:
        raise FileNotFoundError(f"{path}: must be a checkpoint, got no such file; train first")
    for parameter, average in zip(parameters, state["average"], strict=True):
        parameter.data.copy_(average)
