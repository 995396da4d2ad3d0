"""Each network call and each step of one side made again by the other from the same inputs, so that errors do not add up."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

import numpy as np

from sdrt.arrays import float_dtype
from sdrt.compare.findings import CallRow
from sdrt.compare.free_running import worst
from sdrt.compare.networks import as_taken, opened, outputs_of
from sdrt.compare.runs import Run
from sdrt.errors import ConfigError, SdrtError
from sdrt.metrics import difference
from sdrt.pipeline.resolve import Resolved
from sdrt.recordings import Event
from sdrt.schedulers import State

__all__ = ["force"]


def force(recorded: Run, recorder: Resolved | None, resolved: Resolved, side: str) -> Iterator[CallRow]:
    """Make the calls of a recorded run with another side's networks and scheduler, in the order of the run.

    Parameters
    ----------
    recorded : Run
        Whose inputs are taken, and whose outputs are the expected ones.
    recorder : Resolved or None
        The call as what made the recorded calls understands it; None where nobody knows. Where it rounds its inputs, the other side gets
        them rounded.
    resolved : Resolved
        The call, as the other side understands it.
    side : str
        That side's name, for messages.

    Raises
    ------
    ConfigError : the recording holds no inputs, or the networks do not take them
    """
    scheduler = _Scheduler(recorded, resolved)
    for event in recorded.events:
        if event.kind == "network":
            with opened(resolved, event, side) as network, ExitStack() as stack:
                known = [] if recorder is None else [stack.enter_context(opened(recorder, event, recorded.name))]
                outputs = outputs_of(network, as_taken(recorded.inputs(event), *known), side)
            name, apart = worst(str(event.component), outputs, recorded.outputs(event))
            yield CallRow(component=str(event.component), step=event.step, output=name, forced=True, inputs=0.0, difference=apart)
        elif (row := scheduler.step(event)) is not None:
            yield row


class _Scheduler:
    """The other side's sampler, led along the recorded samples."""

    def __init__(self, recorded: Run, resolved: Resolved) -> None:
        self._recorded, self._resolved = recorded, resolved
        self._state: State | None = None

    def step(self, event: Event) -> CallRow | None:
        """Make one step from the recorded sample, output and noise; None where the recording does not hold them."""
        held = self._recorded.arrays(event)
        # a recording of another program may hold but the sample after the step
        stepped = held.get("stepped.x", held.get("after.x"))
        if stepped is None or not {"before.x", "output"} <= held.keys():
            return None
        resolved = self._resolved
        sampler, plan = resolved.sampler, resolved.plan
        x = held["before.x"].astype(float_dtype(sampler.numerics), copy=False)
        state = sampler.start(plan, x, resolved.at) if self._state is None else replace(self._state, x=x)
        if state.position >= plan.num_calls:
            raise ConfigError(f"both sides must make as many steps, got {plan.num_calls} of {sampler.name} and more; set the scheduler")
        draws, noise = plan.draws[state.position], held.get("noise")
        timestep = float(resolved.timesteps[state.position])
        try:
            self._state = sampler.step(
                plan,
                state,
                held["output"].astype(x.dtype, copy=False),
                (np.zeros_like(x) if noise is None else noise) if draws else None,
                unconditional_output=held.get("unconditional") if sampler.needs_unconditional else None,
            )
        except SdrtError as error:
            raise ConfigError(f"both sides must have one scheduler, got another than {sampler.name} ({error}); set the scheduler") from None
        found, output = difference(self._state.x, stepped), "x"
        if timestep != event.values.get("timestep", timestep):
            # a step from another noise level is another step, whatever it gives
            found, output = replace(found, relative=float("inf")), "timestep"
        elif draws != (noise is not None):
            found, output = replace(found, relative=float("inf")), "noise"
        return CallRow(component="scheduler", step=event.step, output=output, forced=True, inputs=0.0, difference=found)
