"""A run and its one loop: a start, and phases that each have networks, conditions and a guidance of their own.

The loop exists once, as a generator: a caller shows progress, previews or cancels between two of its steps. It reads nothing but the run
and keeps its state in its own frame, so that runs on one pipeline, from one thread or several, are independent.
"""

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np

from sdrt.arrays import Array, Float, check_finite
from sdrt.guidance import Call, Guidance
from sdrt.pipeline.denoiser import Denoiser
from sdrt.pipeline.noise import RunNoise
from sdrt.pipeline.observer import UNOBSERVED, CompletedStep, Observer
from sdrt.pipeline.start import Start
from sdrt.pipeline.step import DecodeLatents, Step
from sdrt.records.settings import Settings
from sdrt.schedulers import Plan, Sampler

__all__ = ["Phase", "Run", "denoise"]


@dataclass(frozen=True, eq=False)
class Phase:
    """A stretch of a run with its networks, their conditions and a guidance.

    Parameters
    ----------
    begins : int
        The phase's first call, counted in the plan. The next phase ends it. A phase that ends before the run starts is skipped.
    guidance : Guidance
        Its rows are those of the denoiser.
    networks : callable that returns a context manager
        Opens the denoiser for as long as the phase lasts.
    """

    begins: int
    guidance: Guidance
    networks: Callable[[], AbstractContextManager[Denoiser]]


@dataclass(frozen=True, eq=False)
class Run:
    """Everything that the loop reads.

    Parameters
    ----------
    settings : Settings
    sampler : Sampler
    plan : Plan
    timesteps : i64[calls] or f64[calls]
        The plan's timesteps, rounded as the networks take them.
    start : Start
    noise : RunNoise
    phases : sequence of Phase
        In rising order of ``begins``; the first begins at or before ``start.at``.
    decode : callable
        Decodes latents to pictures, for previews.
    observer : Observer
        Hears of every step.
    """

    settings: Settings
    sampler: Sampler
    plan: Plan
    timesteps: Array
    start: Start
    noise: RunNoise
    phases: Sequence[Phase]
    decode: DecodeLatents
    observer: Observer = UNOBSERVED


def denoise(run: Run) -> Generator[Step, None, None]:
    """Iterate over a run: one denoiser call, one sampler step, one Step.

    Networks stay open from the first step until the generator ends or is closed.

    Raises
    ------
    ArrayContractError : a step left a NaN or an infinity in the sample
    """
    sampler, plan, start = run.sampler, run.plan, run.start
    shape = start.latents.shape[1:]
    num_calls = plan.num_calls - start.at
    state = sampler.start(plan, start.latents, start.at)
    paths = run.noise.paths(plan, shape, sampler.brownian_seed)
    memory: Float | None = None
    for phase, calls in _calls_by_phase(run):
        with phase.networks() as denoiser:
            for index in calls:
                began = time.perf_counter()
                x0_weights = sampler.x0_weights(float(plan.alphas[index]), float(plan.sigmas[index]))
                call = Call(index - start.at, num_calls, float(run.timesteps[index]), state.x, x0_weights, memory)
                # numbers beyond a float's range are an error below, whatever the caller's program makes of them
                with np.errstate(all="ignore"):
                    guided = phase.guidance(denoiser(state.x * plan.input_scale[index], call), call)
                    memory = guided.memory
                    noise = run.noise.step(plan, index, paths, shape)
                    stepped = sampler.step(plan, state, guided.output, noise, unconditional_output=guided.unconditional)
                    before, state = state, start.keep(plan, stepped)
                check_finite(f"step {call.index + 1} of {num_calls}", "the sample", state.x)
                run.observer.stepped(
                    CompletedStep(
                        call=index, timestep=call.timestep, before=before, guided=guided, noise=noise, stepped=stepped, after=state
                    )
                )
                latents = state.x.view()
                latents.flags.writeable = False
                yield Step(call.index, num_calls, call.timestep, latents, time.perf_counter() - began, state, run.decode)


def _calls_by_phase(run: Run) -> Iterator[tuple[Phase, range]]:
    """Yield the phases that the run enters, each with its calls of the plan."""
    ends = [*(phase.begins for phase in run.phases[1:]), run.plan.num_calls]
    for phase, end in zip(run.phases, ends, strict=True):
        if calls := range(max(phase.begins, run.start.at), end):
            yield phase, calls
