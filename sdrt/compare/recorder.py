"""Turn what an observer hears of a run into the events of a recording."""

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

import numpy as np

from sdrt.arrays import Array
from sdrt.pipeline.conditions.text import TokenizedPrompts, text_encoder_options
from sdrt.pipeline.observer import Beginning, CompletedStep
from sdrt.pipeline.results import Result
from sdrt.recordings import RecordingWriter
from sdrt.recordings.pictures import input_arrays, pixels
from sdrt.records.settings import Settings

__all__ = ["Recorder", "Session"]

# The components that are called once or more for each call of the loop.
_OF_THE_LOOP = ("unet", "controlnet")


class Session:
    """The runs of one recording.

    Parameters
    ----------
    writer : RecordingWriter
    """

    def __init__(self, writer: RecordingWriter) -> None:
        self.writer = writer
        self._numbers = count()
        self._under_way: dict[int, Recorder] = {}

    @property
    def is_over(self) -> bool:
        """Whether runs are no longer recorded: the file is closed, or could not be written."""
        return self.writer.closed

    def recorder(self) -> "Recorder":
        """Return the observer of one run."""
        return Recorder(self)

    def begin(self, recorder: "Recorder") -> int:
        """Return the number of a run that begins."""
        # next() of a count is one operation, also between threads
        number = next(self._numbers)
        self._under_way[number] = recorder
        return number

    def end(self, number: int) -> None:
        """Forget a run that has ended."""
        self._under_way.pop(number, None)

    def close(self, error: BaseException | None) -> None:
        """Write the end of every run that has none, and close the file; after an error before the first run, remove it."""
        if error is not None and not self.writer.num_events:
            # a wrong argument must not put an empty file in the place of an older recording
            self.writer.discard()
            return
        for recorder in list(self._under_way.values()):
            recorder.leave(error)
        self.writer.close()


class Recorder:
    """Write the events of one run.

    Parameters
    ----------
    session : Session
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._writer = session.writer
        self._run = -1
        self._at = self._done = self._num_calls = 0
        self._skips: dict[str, list[tuple[Array, int]]] = {}

    def begins(self, beginning: Beginning) -> None:
        """Write the settings, the plan, the tokens, the noise and what the caller passed."""
        if self._session.is_over:
            return
        plan = beginning.plan
        self._run = self._session.begin(self)
        self._at, self._num_calls = beginning.at, plan.num_calls - beginning.at
        self._skips = _skips(beginning.settings, beginning.prompts)
        arrays, given = input_arrays(beginning.inputs)
        noises = {"noise": beginning.noise, "source": beginning.source, "masked": beginning.masked}
        arrays |= {name: noise for name, noise in noises.items() if noise is not None}
        arrays |= {
            "timesteps": beginning.timesteps,
            "plan.timesteps": plan.timesteps,
            "plan.alphas": plan.alphas,
            "plan.sigmas": plan.sigmas,
            "plan.input_scale": np.array(plan.input_scale, np.float64),
        }
        values = {
            "settings": beginning.settings.to_dict(),
            "sampler": beginning.sampler.name,
            "at": beginning.at,
            "num_calls": self._num_calls,
            "init_scale": float(plan.init_scale),
            "draws": list(map(bool, plan.draws)),
            "starts": list(map(int, plan.starts)),
            "given": given,
        }
        self._writer.add("begin", self._run, arrays | _tokens(beginning.prompts), values)

    def called(self, component: str, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> None:
        """Write a network call."""
        if self._run < 0 or self._session.is_over:
            return
        arrays = {f"input.{name}": x for name, x in inputs.items()} | {f"output.{name}": x for name, x in outputs.items()}
        kind = component.removeprefix("refiner.").partition(".")[0]
        step = None
        if kind in _OF_THE_LOOP:
            step = self._done
        elif 0 < self._done < self._num_calls:
            # a preview between two steps
            step = self._done - 1
        values = {} if "input_ids" not in inputs else {"clip_skip": self._clip_skip(component, inputs["input_ids"])}
        self._writer.add("network", self._run, arrays, values, step=step, component=component)

    def stepped(self, step: CompletedStep) -> None:
        """Write a step: the state before it, what it took, and the state after it."""
        if self._session.is_over:
            return
        arrays: dict[str, Array | None] = {
            "before.x": step.before.x,
            "output": step.guided.output,
            "unconditional": step.guided.unconditional,
            "noise": step.noise,
            "stepped.x": step.stepped.x,
            "after.x": step.after.x,
            "step_start": step.after.step_start,
            "x0": None if step.after.last_call is None else step.after.x0,
        }
        arrays |= {f"history.{k}": x for k, x in enumerate(step.after.history)}
        arrays |= {f"stage.{k}": x for k, x in enumerate(step.after.stage_outputs)}
        values = {"call": step.call, "timestep": float(step.timestep)}
        self._writer.add("step", self._run, {name: x for name, x in arrays.items() if x is not None}, values, step=step.call - self._at)
        self._done = step.call - self._at + 1

    def ends(self, result: Result) -> None:
        """Write the latents and the pictures."""
        if self._session.is_over:
            return
        arrays: dict[str, Array] = {"latents": result.latents}
        arrays |= {f"picture.{k}": pixels(image) for k, image in enumerate(result.images)}
        self._end(
            arrays,
            outcome="cancelled" if result.cancelled else "finished",
            seeds=list(result.seeds),
            truncated=list(result.truncated),
            flagged=None if result.flagged is None else list(result.flagged),
            remarks=dict(result.settings.remarks),
        )

    def fails(self, error: BaseException) -> None:
        """Write that the run failed."""
        if self._run >= 0 and not self._session.is_over:
            self._end({}, outcome="failed", error=f"{type(error).__name__}: {error}")

    def leave(self, error: BaseException | None) -> None:
        """Write that the run was left under way, by an error where there is one."""
        if error is None and not self._session.is_over:
            self._end({}, outcome="cancelled")
        elif error is not None:
            self.fails(error)

    def _end(self, arrays: Mapping[str, Array], **values: Any) -> None:
        self._writer.add("end", self._run, arrays, values)
        self._session.end(self._run)

    def _clip_skip(self, component: str, input_ids: Array) -> int:
        """Return the option of a text encoder's call, which its inputs do not show."""
        known = self._skips.get(component, [])
        place = next((k for k, (ids, _) in enumerate(known) if _holds(input_ids, ids)), None)
        if place is None:
            return known[-1][1] if known else 0
        # where both rows have one text, the negative one is encoded first
        return known.pop(place)[1] if len(known) > 1 else known[place][1]


def _tokens(prompts: Sequence[Sequence[Mapping[Any, TokenizedPrompts]]]) -> dict[str, Array]:
    """Return the token ids and weights of every text, by model, pair of texts, text encoder and row."""
    arrays: dict[str, Array] = {}
    for prefix, of_model in zip(("", "refiner."), prompts, strict=False):
        for k, pair in enumerate(of_model):
            for component, tokenized in pair.items():
                for row, chunks in tokenized.rows.items():
                    name = f"{prefix}tokens.{k}.{component}.{row}"
                    arrays |= {name: chunks.input_ids, f"{name}.weights": chunks.weights}
    return arrays


def _skips(settings: Settings, prompts: Sequence[Sequence[Mapping[Any, TokenizedPrompts]]]) -> dict[str, list[tuple[Array, int]]]:
    """Return, for each text encoder, the rows whose options differ, in the order in which they are encoded."""
    skips: dict[str, list[tuple[Array, int]]] = {}
    for prefix, of_model in zip(("", "refiner."), prompts, strict=False):
        for pair in of_model:
            for component, tokenized in pair.items():
                each = {text_encoder_options(settings, row).clip_skip: chunks.input_ids for row, chunks in tokenized.rows.items()}
                skips.setdefault(f"{prefix}{component}", []).extend((ids, skip) for skip, ids in each.items())
    return skips


def _holds(input_ids: Array, rows: Array) -> bool:
    """Return whether a call's tokens begin with these rows."""
    return input_ids.shape[1:] == rows.shape[1:] and len(input_ids) >= len(rows) and np.array_equal(input_ids[: len(rows)], rows)
