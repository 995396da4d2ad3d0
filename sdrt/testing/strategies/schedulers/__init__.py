"""Runs of schedulers, drawn without regard to what diffusers makes of them: every option of every class, 1 to 200 steps.

A family of samplers has a file; RUNS joins their tables. Classes that diffusers lacks are drawn from what they declare.
"""

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from sdrt.errors import ConfigError
from sdrt.printable import shown
from sdrt.schedulers import class_names
from sdrt.testing.strategies.schedulers import edm, flow, integer, ratio, solver
from sdrt.testing.strategies.schedulers.base import SchedulerRun, schedules
from sdrt.testing.strategies.schedulers.declared import declared_run

__all__ = ["RUNS", "SchedulerRun", "noise_schedules", "scheduler_configs", "scheduler_runs"]

# By class of diffusers.
RUNS: Mapping[str, st.SearchStrategy[SchedulerRun]] = {**edm.RUNS, **flow.RUNS, **integer.RUNS, **ratio.RUNS, **solver.RUNS}


def scheduler_runs(class_name: str | None = None) -> st.SearchStrategy[SchedulerRun]:
    """Draw a configuration with a number of steps, stops and options of a step, of one class or of any.

    Raises
    ------
    ConfigError : an unknown class
    """
    if class_name is None:
        return st.sampled_from(class_names()).flatmap(scheduler_runs)
    if class_name not in class_names():
        raise ConfigError(f"class_name must be one of sdrt.schedulers.class_names(), got {shown(class_name)}; choose one of those")
    return RUNS[class_name] if class_name in RUNS else declared_run(class_name)


def scheduler_configs(class_name: str | None = None) -> st.SearchStrategy[dict[str, Any]]:
    """Draw a diffusers configuration, ``_class_name`` included; parameters and errors as `scheduler_runs`."""
    return scheduler_runs(class_name).map(lambda run: run.config)


def noise_schedules() -> st.SearchStrategy[dict[str, Any]]:
    """Draw the settings of a schedule of betas: ``beta_schedule`` and its ends, or ``trained_betas``."""
    return schedules
