"""The running call that :meth:`Pipeline.steps` returns, and that :meth:`Pipeline.generate` finishes."""

import threading
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from sdrt.errors import ConfigError
from sdrt.log import log
from sdrt.pipeline.hires import go_on
from sdrt.pipeline.observer import Beginning
from sdrt.pipeline.prepare import Drawn, draw, prepare
from sdrt.pipeline.progress import Cancelled, OnProgress, Report
from sdrt.pipeline.resolve import Resolved
from sdrt.pipeline.results import Result, seeds_text
from sdrt.pipeline.run import denoise
from sdrt.pipeline.step import Step
from sdrt.records.settings import Settings

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Steps"]


class Steps(Iterator[Step]):
    """Iterate over the steps of one call; made by :meth:`Pipeline.steps`.

    Iterating opens networks, encodes the prompts, and then makes one step after the other. Leaving the loop early is enough to cancel:
    networks are released with the object, or by :meth:`close`. :meth:`result` makes the remaining steps and decodes.

    One thread iterates; :meth:`cancel` may be called from any.
    """

    def __init__(self, resolved: Resolved, on_progress: OnProgress | None = None) -> None:
        self._assembly = assembly = resolved.assembly
        self._resolved = resolved
        self._cancelled = threading.Event()
        self._report = Report(on_progress, self._cancelled)
        # now and not at the first step, so that calls that share a stream draw from it in the order in which they were made
        self._drawn = draw(assembly, resolved)
        self._latents = self._drawn.noise * resolved.plan.init_scale
        self._seconds: list[float] = []
        self._lock = threading.Lock()
        self._error: BaseException | None = None
        self._result: Result | None = None
        self._loop = _walk(resolved, self._drawn, self._report)
        log.debug("prepared %s", resolved.settings)

    # ---- known before the first step

    @property
    def settings(self) -> Settings:
        """Every setting of the call, defaults filled in, with the remarks known so far."""
        settings = self._resolved.settings
        return replace(settings, remarks={**settings.remarks, **self._assembly.remarks})

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seed of each image, random if the caller passed none."""
        return self._resolved.seeds

    @property
    def truncated(self) -> tuple[str, str]:
        """The text dropped from the prompt and from the negative prompt."""
        return self._resolved.truncated

    @property
    def num_steps(self) -> int:
        """Network calls in the whole run; more than ``num_inference_steps`` for schedulers that call twice."""
        return sum(each.plan.num_calls - each.at for each in self._resolved.passes)

    # ---- the run

    @property
    def cancelled(self) -> bool:
        """Whether the call was cancelled."""
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """End the call before its next piece of work; any thread may call this. A finished call stays as it is."""
        if self._result is None:
            self._cancelled.set()

    def close(self) -> None:
        """Cancel and release the networks at once; only the iterating thread may call this."""
        self.cancel()
        with self._alone():
            self._loop.close()

    def __next__(self) -> Step:
        with self._alone():
            try:
                step = next(self._loop)
            except (Cancelled, StopIteration):
                raise StopIteration from None
            except BaseException as error:
                self._error = error
                self._assembly.observer.fails(error)
                raise
            self._latents = step.latents
            self._seconds.append(step.seconds)
            return step

    def result(self) -> Result:
        """Make the remaining steps, and decode the images; a second call returns the same result.

        Returns
        -------
        Result
            ``cancelled`` and without images, if the call was cancelled at any stage.

        Raises
        ------
        ArrayContractError, BackendError, ... : as :meth:`Pipeline.generate`; after a failed step, its error again on every call
        """
        if self._error is not None:
            raise self._error
        if self._result is None:
            for _ in self:
                pass
            with self._alone():
                self._result = self._finish()
        return self._result

    def _finish(self) -> Result:
        images: list[Image] = []
        flagged, cancelled = None, False
        try:
            images, flagged = self._assembly.decode(self._latents, self._report, self._resolved.passes[-1].finish)
        except Cancelled:
            cancelled = True
        except BaseException as error:
            self._assembly.observer.fails(error)
            raise
        for seed, is_flagged in zip(self.seeds, flagged or (), strict=False):
            if is_flagged:
                log.warning("the picture of seed %d is %s: the safety checker flagged it", seed, self._assembly.flagged_pictures)
        self._assembly.remark_log.tell(self._assembly.remarks)
        result = Result(
            images,
            self._latents,
            self.seeds,
            self.settings,
            self.truncated,
            cancelled=cancelled,
            flagged=flagged,
            step_seconds=tuple(self._seconds),
        )
        self._assembly.observer.ends(result)
        return result

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other threads out, and the callbacks of a step that is under way.

        Raises
        ------
        ConfigError : a step is being made, or the images decoded
        """
        if not self._lock.acquire(blocking=False):
            raise ConfigError("a call must be iterated by one thread at a time, got a second one; make a call of steps() in each thread")
        try:
            yield
        finally:
            self._lock.release()

    def __reduce__(self) -> str:
        raise ConfigError("a call under way cannot be pickled or copied; keep its result, or its settings")

    def __repr__(self) -> str:
        state = ", cancelled" if self.cancelled else ""
        return f"Steps({len(self._seconds)} of {self.num_steps} made, {self._resolved.settings.prompt!r}, {seeds_text(self.seeds)}{state})"


def _walk(resolved: Resolved, drawn: Drawn, report: Report) -> Generator[Step, None, None]:
    """Prepare each pass and make its steps. A method of `Steps` would make a reference cycle, which outlives a loop that is left."""
    resolved.assembly.observer.begins(_beginning(resolved, drawn))
    total = sum(each.plan.num_calls - each.at for each in resolved.passes)
    latents, done = drawn.noise, 0
    for number, each in enumerate(resolved.passes):
        current, noise = each, drawn
        if number:
            current = go_on(each, latents, report)
            noise = draw(current.assembly, current)
        run = prepare(current.assembly, current, noise, report)
        current.assembly.remark_log.tell(current.assembly.remarks)
        with closing(denoise(run)) as steps:
            for _ in range(run.plan.num_calls - run.start.at):
                report("denoise", done, total)
                step = next(steps)
                yield step if total == step.num_steps else replace(step, index=done, num_steps=total)
                latents, done = step.latents, done + 1


def _beginning(resolved: Resolved, drawn: Drawn) -> Beginning:
    return Beginning(
        settings=resolved.settings,
        sampler=resolved.sampler,
        plan=resolved.plan,
        timesteps=resolved.timesteps,
        at=resolved.at,
        prompts=resolved.prompts[0][1],
        noise=drawn.noise,
        source=drawn.source,
        masked=drawn.masked,
        inputs=resolved.inputs,
    )
