"""The numpy backend in float64 as judge: how far each side is from the truth."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from sdrt.arrays import Array
from sdrt.backends import BackendOptions, registry
from sdrt.backends.pool import NetworkPool
from sdrt.compare.calls import RunCall
from sdrt.compare.findings import TruthRow
from sdrt.compare.free_running import worst
from sdrt.compare.networks import opened, outputs_of
from sdrt.compare.pairs import paired_calls
from sdrt.compare.runs import Run
from sdrt.compare.sides import Side
from sdrt.errors import ConfigError
from sdrt.metrics import difference
from sdrt.models import COMPONENTS, is_folder_of_packages
from sdrt.pipeline.assembly import Assembly
from sdrt.pipeline.loaded_model import LoadedModel
from sdrt.pipeline.pipeline import Pipeline

__all__ = ["judge", "truth_rows"]

_NAME = "numpy in float64"


def judge(sides: Sequence[Side]) -> Pipeline:
    """Return a pipeline of the numpy backend in float64, with the weights of the first side that has some.

    Raises
    ------
    ConfigError : neither has
    """
    for side in sides:
        if side.pipe is not None and not is_folder_of_packages(side.pipe._assembly.base.model):  # type: ignore[arg-type]
            return Pipeline(_in_float64(side.pipe._assembly))
    names = " and ".join(side.name for side in sides)
    raise ConfigError(f"the truth must be computed from weights, got none with {names}; compare with the model that they were made from")


def _in_float64(assembly: Assembly) -> Assembly:
    backends = dict.fromkeys(COMPONENTS, registry.get("numpy"))
    options = dict.fromkeys(COMPONENTS, BackendOptions(numerics="float64"))
    refiner, prompter = assembly.refiner, assembly.image_prompter
    return Assembly(
        base=LoadedModel(assembly.base.model, backends, options),
        refiner=None if refiner is None else LoadedModel(refiner.model, backends, options),
        controlnets=tuple(NetworkPool(pool.model, backends, options) for pool in assembly.controlnets),
        t2i_adapters=tuple(NetworkPool(pool.model, backends, options) for pool in assembly.t2i_adapters),
        image_prompter=None if prompter is None else prompter.with_pools(lambda pool: NetworkPool(pool.model, backends, options)),
        backends=dict.fromkeys(assembly.backends, "numpy"),
        numerics="float64",
        vae_tiling=assembly.vae_tiling,
        limits=assembly.limits,
        lora_library=assembly.lora_library,
        loras=assembly.loras,
    )


def truth_rows(a: Run, b: Run, call: RunCall, pipe: Pipeline, folder: Path) -> Iterator[TruthRow]:
    """Yield the errors of both sides: of networks, each on its side's own inputs; of latents and pixels, against the judge's own run.

    Raises
    ------
    ConfigError : a recording does not hold the inputs of its networks
    """
    resolved = call.resolve(pipe)
    judged = _judged_steps(a)
    for pair in paired_calls(a, b):
        event = pair.event
        if event.step is not None and event.step not in judged:
            continue
        errors = []
        with opened(resolved, event, _NAME) as network:
            for inputs, outputs in zip(pair.inputs, pair.outputs, strict=True):
                errors.append(worst(str(event.component), outputs, outputs_of(network, inputs, _NAME))[1].relative)
        yield TruthRow(component=str(event.component), step=event.step, a=errors[0], b=errors[1])
    run = Side(name=_NAME, pipe=pipe).run(call, folder)
    for step, (one, other, true) in enumerate(zip(a.steps, b.steps, run.steps, strict=True)):
        x = run.arrays(true, "after.x")["after.x"]
        ours, theirs = (difference(each.arrays(event, "after.x")["after.x"], x).relative for each, event in ((a, one), (b, other)))
        yield TruthRow(component="latents", step=step, a=ours, b=theirs)
    pictures = [[x.astype(np.float64) for x in each.pictures()] for each in (a, b, run)]
    if all(pictures):
        yield TruthRow(component="pixels", step=None, a=_rms(pictures[0], pictures[2]), b=_rms(pictures[1], pictures[2]))


def _rms(pictures: Sequence[Array], true: Sequence[Array]) -> float:
    return float(np.sqrt(np.mean([np.mean(np.square(x - y)) for x, y in zip(pictures, true, strict=True)])))


def _judged_steps(run: Run) -> set[int]:
    """Return the first step, the middle one and the last: a float64 call takes twice a float32 one's time, and each takes two."""
    steps = sorted({event.step for event in run.steps if event.step is not None})
    return {steps[0], steps[len(steps) // 2], steps[-1]} if steps else set()
