"""A Stable Diffusion runtime whose every number can be trusted.

>>> import sdrt
>>> pipe = sdrt.load("nano")
>>> result = pipe.generate("a red circle on a blue background", seed=93, num_inference_steps=2)
>>> result.images[0].size
(128, 128)

Importing sdrt imports numpy alone; the pipeline, Pillow and the rest load on first use.
"""

import importlib
from typing import TYPE_CHECKING, Any

from sdrt._version import __version__

if TYPE_CHECKING:
    from sdrt import backends, errors, guidance, images, models, pipeline, prompt, records, rng, schedulers, tokenizer
    from sdrt.errors import SdrtError
    from sdrt.pipeline import GenerateOptions, Pipeline, Result, Step, load
    from sdrt.records import Settings

__all__ = [
    "GenerateOptions",
    "Pipeline",
    "Result",
    "SdrtError",
    "Settings",
    "Step",
    "__version__",
    "backends",
    "errors",
    "guidance",
    "images",
    "load",
    "models",
    "pipeline",
    "prompt",
    "records",
    "rng",
    "schedulers",
    "tokenizer",
]

_HOMES = {
    "GenerateOptions": "sdrt.pipeline",
    "Pipeline": "sdrt.pipeline",
    "Result": "sdrt.pipeline",
    "SdrtError": "sdrt.errors",
    "Settings": "sdrt.records",
    "Step": "sdrt.pipeline",
    "load": "sdrt.pipeline",
}
_ROOMS = frozenset(
    {"backends", "errors", "guidance", "images", "models", "pipeline", "prompt", "records", "rng", "schedulers", "tokenizer"}
)


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"sdrt.{name}")
    if name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'sdrt' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
