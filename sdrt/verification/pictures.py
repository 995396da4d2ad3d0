"""Whole pictures: every job, watched from the text to the bytes of the file."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from sdrt.arrays import Array
from sdrt.pipeline import load
from sdrt.pipeline.observer import Beginning, CompletedStep
from sdrt.pipeline.results import Result
from sdrt.verification.check import Check, Stages
from sdrt.verification.digests import digest
from sdrt.verification.jobs import PICTURE_JOBS, Job

__all__ = ["pictures"]


def pictures(threads: int | None) -> Iterator[Check]:
    """Yield a check of each job."""
    for job in PICTURE_JOBS:
        yield Check("pictures", job.name, partial(_stages, job, threads))


class _Watcher:
    """Keeps the digest of everything that a run does, in its order."""

    def __init__(self) -> None:
        self.stages: list[tuple[str, str]] = []
        self._calls: dict[str, int] = {}

    def begins(self, beginning: Beginning) -> None:
        noise = [each for each in (beginning.noise, beginning.source, beginning.masked) if each is not None]
        self.stages.append(("plan", digest(np.asarray(beginning.plan.timesteps, np.float64), beginning.plan.sigmas)))
        self.stages.append(("noise", digest(*noise)))

    def called(self, component: str, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> None:
        count = self._calls[component] = self._calls.get(component, 0) + 1
        self.stages.append((f"{component} call {count}: inputs", digest(*(inputs[name] for name in sorted(inputs)))))
        self.stages.append((f"{component} call {count}", digest(*(outputs[name] for name in sorted(outputs)))))

    def stepped(self, step: CompletedStep) -> None:
        self.stages.append((f"guidance at call {step.call + 1}", digest(step.guided.output)))
        self.stages.append((f"step at call {step.call + 1}", digest(step.after.x)))

    def ends(self, result: Result) -> None:
        self.stages.append(("latents", digest(result.latents)))
        self.stages.append(("pixels", digest(*(np.asarray(image) for image in result.images))))
        self.stages.append(("PNG", digest(*(result.png(image, text) for image, text in zip(result.images, result.texts, strict=True)))))

    def fails(self, error: BaseException) -> None:
        """Leave the error to whoever drew."""


def _stages(job: Job, threads: int | None) -> Stages:
    watcher = _Watcher()
    options: dict[str, Any] = dict(job.load)
    with load(options.pop("model"), numerics="exact", threads=threads, **options) as pipe, pipe.observing(lambda: watcher):
        pipe.generate(job.prompt, job.negative_prompt, **job.all_options())
    yield from watcher.stages
