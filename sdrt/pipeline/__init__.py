"""From prompt to picture: loading a model, resolving a call, the one loop, and its results; each loads on first use."""

from typing import TYPE_CHECKING

from sdrt.late import late_names

if TYPE_CHECKING:
    from sdrt.pipeline.loading import load
    from sdrt.pipeline.options import ControlNetInput, GenerateOptions, SDXLSizes
    from sdrt.pipeline.pipeline import Pipeline
    from sdrt.pipeline.progress import Progress
    from sdrt.pipeline.results import Result
    from sdrt.pipeline.step import Step
    from sdrt.pipeline.steps import Steps

__all__ = ["ControlNetInput", "GenerateOptions", "Pipeline", "Progress", "Result", "SDXLSizes", "Step", "Steps", "load"]

_HOMES = {
    "ControlNetInput": "options",
    "GenerateOptions": "options",
    "Pipeline": "pipeline",
    "Progress": "progress",
    "Result": "results",
    "SDXLSizes": "options",
    "Step": "step",
    "Steps": "steps",
    "load": "loading",
}


__getattr__ = late_names(__name__, _HOMES)


def __dir__() -> list[str]:
    return __all__
