"""What the families' strategies are made of."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st

__all__ = ["Drawn", "bounds", "chosen", "config", "schedules", "steps"]


@dataclass(frozen=True)
class Drawn:
    """A run to compare: what both sides are built from, and told."""

    config: dict[str, Any]
    n: int
    step: dict[str, Any] = field(default_factory=dict)  # options of step
    stops: dict[str, Any] = field(default_factory=dict)  # of set_timesteps, in place of n


class Betas(list[float]):
    """A list that fits a test report."""

    def __repr__(self) -> str:
        return f"Betas of {self[0]} to {self[-1]}"


steps = st.integers(1, 200)

schedules: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [
        {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"},
        {"beta_schedule": "linear"},
        {"beta_start": 0.0001, "beta_end": 0.02, "beta_schedule": "scaled_linear"},
        {"trained_betas": Betas(np.linspace(0.0002, 0.015, 1000).tolist())},
        {"beta_schedule": "squaredcos_cap_v2"},
    ]
)

bounds: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [
        {},
        {"thresholding": True},
        {"thresholding": True, "dynamic_thresholding_ratio": 0.8, "sample_max_value": 1.7},
        {"thresholding": True, "sample_max_value": 0.5},
    ]
)


def chosen(**options: tuple[Any, ...]) -> st.SearchStrategy[dict[str, Any]]:
    """Draw one value for each key."""
    return st.fixed_dictionaries({key: st.sampled_from(values) for key, values in options.items()})


def config(class_name: str, *parts: dict[str, Any]) -> dict[str, Any]:
    merged = {"_class_name": class_name}
    for part in parts:
        merged |= part
    return merged
