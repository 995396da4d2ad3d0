"""Samplers that diffusers lacks: any of their declared settings' values together, those that the sampler refuses left out."""

from typing import Any

from hypothesis import strategies as st

from sdrt.errors import SdrtError
from sdrt.schedulers import sampler_from_config
from sdrt.schedulers.catalogue import sampler_class
from sdrt.testing.schedulers.values import STEP_OPTIONS, values_of
from sdrt.testing.strategies.schedulers.base import SchedulerRun

__all__ = ["declared_run"]


def declared_run(class_name: str) -> st.SearchStrategy[SchedulerRun]:
    """Draw a run of a class from the settings that it declares."""
    sampler = sampler_class(class_name)
    values = {key: values_of(sampler, key) for key in sampler.keys}
    settings = st.fixed_dictionaries({}, optional={key: st.sampled_from(found) for key, found in values.items() if found})
    options = {key: st.sampled_from(STEP_OPTIONS[key]) for key in sampler.step_options if key in STEP_OPTIONS}
    configs = settings.map(lambda own: {"_class_name": class_name, **own}).filter(_is_accepted)
    return st.builds(SchedulerRun, configs, st.integers(1, 60), st.fixed_dictionaries({}, optional=options))


def _is_accepted(config: dict[str, Any]) -> bool:
    try:
        sampler_from_config(config)
    except SdrtError:
        return False
    return True
