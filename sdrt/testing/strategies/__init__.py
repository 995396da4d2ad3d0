"""Strategies of hypothesis for what Stable Diffusion takes: prompts, ids, latents, pictures, schedulers, seeds, small models.

>>> from hypothesis import given, settings
>>> import sdrt
>>> from sdrt.testing import strategies
>>> @settings(max_examples=5, database=None)
... @given(strategies.prompts())
... def test_my_tokenizer(prompt: str) -> None:
...     assert sdrt.ClipTokenizer.clip().encode(prompt)[0] == 49406
>>> test_my_tokenizer()
"""

import importlib.util
from typing import TYPE_CHECKING

from sdrt.errors import MissingExtraError
from sdrt.late import late_names

if TYPE_CHECKING:
    from sdrt.testing.strategies.arrays import latents, token_ids
    from sdrt.testing.strategies.images import masks, pictures, sizes
    from sdrt.testing.strategies.models import SmallModel, small_models
    from sdrt.testing.strategies.schedulers import SchedulerRun, noise_schedules, scheduler_configs, scheduler_runs
    from sdrt.testing.strategies.streams import seeds
    from sdrt.testing.strategies.texts import composed_texts, long_prompts, prompts, weighted_prompts

if importlib.util.find_spec("hypothesis") is None:
    raise MissingExtraError('sdrt.testing.strategies needs hypothesis, which is not installed; run pip install "sdrt[testing]"')

__all__ = [
    "SchedulerRun",
    "SmallModel",
    "composed_texts",
    "latents",
    "long_prompts",
    "masks",
    "noise_schedules",
    "pictures",
    "prompts",
    "scheduler_configs",
    "scheduler_runs",
    "seeds",
    "sizes",
    "small_models",
    "token_ids",
    "weighted_prompts",
]

_HOMES = {
    **dict.fromkeys(("latents", "token_ids"), "arrays"),
    **dict.fromkeys(("SmallModel", "small_models"), "models"),
    **dict.fromkeys(("masks", "pictures", "sizes"), "images"),
    **dict.fromkeys(("SchedulerRun", "noise_schedules", "scheduler_configs", "scheduler_runs"), "schedulers"),
    "seeds": "streams",
    **dict.fromkeys(("composed_texts", "long_prompts", "prompts", "weighted_prompts"), "texts"),
}

__getattr__ = late_names(__name__, _HOMES)
