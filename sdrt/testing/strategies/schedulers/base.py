"""What the families' strategies are made of."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st

from sdrt.testing.schedulers.values import Betas

__all__ = ["SchedulerRun", "bounds", "chosen", "config", "schedules", "steps"]


@dataclass(frozen=True)
class SchedulerRun:
    """A run of a scheduler.

    Parameters
    ----------
    config : dict
        A diffusers configuration, ``_class_name`` included.
    n : int
        Steps.
    step : dict
        Options of each ``step``.
    stops : dict
        Arguments of ``set_timesteps`` in place of ``n``, where there are any.
    """

    config: dict[str, Any]
    n: int
    step: dict[str, Any] = field(default_factory=dict)
    stops: dict[str, Any] = field(default_factory=dict)


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
    """Join the settings of a class."""
    merged = {"_class_name": class_name}
    for part in parts:
        merged |= part
    return merged
