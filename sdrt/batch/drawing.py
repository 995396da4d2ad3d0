"""Draw the jobs of a batch into a folder: each picture once, whoever was killed before and whoever draws beside."""

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sdrt.batch.finished import Finished, key_of
from sdrt.batch.jobs import Job, RowError
from sdrt.batch.manifest import append_line, read_manifest
from sdrt.errors import ConfigError, SdrtError
from sdrt.host import lock_file
from sdrt.images.files import check_folder, make_folder, picture_name, save_new_picture
from sdrt.images.saving import PictureFormat, check_format, check_quality
from sdrt.pipeline.input_files import open_inputs
from sdrt.values import FilePath

if TYPE_CHECKING:
    from sdrt.pipeline.pipeline import Pipeline
    from sdrt.pipeline.steps import Steps

__all__ = ["Outcome", "draw_jobs"]


@dataclass(frozen=True)
class Outcome:
    """What became of a row.

    Parameters
    ----------
    job : Job or RowError
    state : "drawn", "finished", "elsewhere" or "failed"
        "finished": the folder had its pictures already; "elsewhere": another process is drawing it.
    files : tuple of Path
        Its pictures, in the order of the images.
    seeds : tuple of int
    seconds : float
        The time that it took to draw.
    error : str or None
        One line that names the row.
    """

    job: Job | RowError
    state: Literal["drawn", "finished", "elsewhere", "failed"]
    files: tuple[Path, ...] = ()
    seeds: tuple[int, ...] = ()
    seconds: float = 0.0
    error: str | None = None


def draw_jobs(
    pipe: "Pipeline",
    jobs: Iterable[Job | RowError],
    folder: str | Path,
    *,
    format: PictureFormat = "png",  # noqa: A002 -- as Pillow calls it
    quality: int | None = None,
    draw: "Callable[[Job, Steps], Any] | None" = None,
) -> Iterator[Outcome]:
    """Draw the jobs that are not finished, one after the other, and tell of each; the manifest of the folder tells it too.

    A picture is finished if a file of the folder has the record that its job would write. Any number of processes may draw into one folder,
    also the same jobs: each row is drawn by one of them.

    Parameters
    ----------
    pipe : Pipeline
    jobs : iterable of Job or RowError
        Rows that are no jobs go into the manifest as they are.
    folder : str or Path
        Created if it does not exist.
    format, quality
        As of :meth:`sdrt.Result.save`.
    draw : callable, optional
        Called with each job and its :class:`Steps`, which it may iterate to show progress.

    Yields
    ------
    Outcome
        A row that fails does not end the others.

    Raises
    ------
    ImageError : the folder cannot be written; no such format or quality
    """
    place = FilePath().check("folder", folder)
    check_quality(quality, check_format(format))
    make_folder(place)
    check_folder(place)
    finished, told = Finished(place), {str(entry.get("key")) for entry in read_manifest(place) if entry.get("error") is None}
    for job in jobs:
        if isinstance(job, RowError):
            outcome = Outcome(job, "failed", error=job.error)
            append_line(place, {"row": job.number, "error": job.error})
        else:
            try:
                outcome = _dealt_with(pipe, job, place, finished, told, format, quality, draw)
            except (SdrtError, MemoryError) as error:
                text = str(error) or "not enough memory"
                outcome = Outcome(job, "failed", error=f"{job.where}: {text}")
                append_line(place, {"row": job.number, "options": job.given, "error": text})
        yield outcome


def _dealt_with(
    pipe: "Pipeline",
    job: Job,
    place: Path,
    finished: Finished,
    told: set[str],
    kind: PictureFormat,
    quality: int | None,
    draw: "Callable[[Job, Steps], Any] | None",
) -> Outcome:
    options = {**job.options, **open_inputs(job.files)}
    settings = pipe.resolve(job.prompt, job.negative_prompt, **options)
    key = hashlib.sha256(f"{job.number} {key_of(settings)}".encode()).hexdigest()
    if None not in (files := finished.find(settings)):
        outcome = Outcome(job, "finished", tuple(file for file in files if file), settings.image_seeds)
    else:
        with _claimed(place, key) as mine:
            # another process may have drawn it while this one waited for its turn
            files = finished.find(settings)
            if not mine:
                return Outcome(job, "elsewhere")
            if None not in files:
                outcome = Outcome(job, "finished", tuple(file for file in files if file), settings.image_seeds)
            else:
                outcome = _drawn(pipe, job, options, place, files, kind, quality, draw)
    if key not in told:
        told.add(key)
        append_line(place, _entry(job, outcome, key))
    return outcome


def _drawn(
    pipe: "Pipeline",
    job: Job,
    options: dict[str, Any],
    place: Path,
    files: Sequence[Path | None],
    kind: PictureFormat,
    quality: int | None,
    draw: "Callable[[Job, Steps], Any] | None",
) -> Outcome:
    """Draw a call, and save those of its images that have no file yet."""
    began = time.perf_counter()
    steps = pipe.steps(job.prompt, job.negative_prompt, **options)
    if draw is not None:
        draw(job, steps)
    result = steps.result()
    if result.cancelled:
        raise ConfigError("was cancelled; run the batch again to draw it")
    seconds = time.perf_counter() - began
    prompts = [prompt for prompt, _ in result.settings.image_texts]
    saved = []
    for k, (image, seed, text, file) in enumerate(zip(result.images, result.seeds, result.texts, files, strict=True)):
        title = prompts[k % len(prompts)] if job.name is None else job.name
        saved.append(file or save_new_picture(image, place / picture_name(title, seed, kind), text, quality=quality, png=result.png))
    return Outcome(job, "drawn", tuple(saved), result.seeds, seconds)


def _entry(job: Job, outcome: Outcome, key: str) -> dict[str, Any]:
    return {
        "row": job.number,
        "name": job.name,
        "options": job.given,
        "files": [file.name for file in outcome.files],
        "seeds": list(outcome.seeds),
        "seconds": round(outcome.seconds, 3) if outcome.state == "drawn" else None,
        "error": None,
        "key": key,
    }


@contextmanager
def _claimed(place: Path, key: str) -> Iterator[bool]:
    """Claim a row for this process while the ``with`` body runs; yields whether it could, and True where the disk has no locks."""
    file = place / f".{key[:32]}.claim"
    with file.open("ab") as stream:
        mine = True
        try:
            lock_file(stream.fileno())
        except BlockingIOError:
            mine = False
        except OSError:
            pass
        try:
            yield mine
        finally:
            if mine:
                # while it is locked: who opened it before finds the row finished
                with suppress(OSError):
                    file.unlink()
