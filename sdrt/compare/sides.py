"""The two sides of a comparison: a pipeline, a backend's name, a model, or a recording; and the run of each."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sdrt.backends import registry
from sdrt.compare.calls import RunCall
from sdrt.compare.findings import SideRecord
from sdrt.compare.precision import precision_of, recorded_precision, taken_precision
from sdrt.compare.recording_runs import record
from sdrt.compare.runs import Run
from sdrt.compare.tolerances import Precision
from sdrt.errors import ConfigError, RecordingError
from sdrt.models import EMBEDDED, DownloadProgress
from sdrt.pipeline.loading import load
from sdrt.pipeline.pipeline import Pipeline
from sdrt.printable import shown
from sdrt.recordings import Recording, is_recording

__all__ = ["Side", "open_sides"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Side:
    """One side.

    Parameters
    ----------
    name : str
        As the caller named it.
    pipe : Pipeline or None
        None for a recording.
    recording : Recording or None
    owned : bool
        Whether the pipeline was opened for the comparison, which may close it.
    """

    name: str
    pipe: Pipeline | None = None
    recording: Recording | None = None
    owned: bool = False

    @cached_property
    def precision(self) -> Precision:
        """The least precise type that its networks compute in."""
        if self.pipe is not None:
            return precision_of(self.pipe)
        return recorded_precision(self.recording.header if self.recording is not None else {})

    @cached_property
    def takes_half(self) -> bool:
        """Whether its denoiser rounds its inputs to float16."""
        return self.pipe is not None and taken_precision(self.pipe) == "float16"

    def run(self, call: RunCall, folder: Path) -> Run:
        """Return the side's run: the recorded one, or one that is recorded into this folder.

        Raises
        ------
        RecordingError, ConfigError : it did not finish, or its arrays were not kept
        SdrtError : as ``Pipeline.generate``
        """
        recording = self.recording
        if self.pipe is not None:
            file = folder / "run.sdrt"
            with record(file, self.pipe):
                call.draw(self.pipe)
            recording = Recording.open(file)
        assert recording is not None  # noqa: S101 -- a side is one of both
        run = Run(self.name, recording)
        run.check()
        return run

    def describe(self, run: Run) -> SideRecord:
        """Return what the side is, for the result."""
        header, settings = run.recording.header, run.record
        backends = header.get("backends")
        names = dict.fromkeys(map(str, backends.values())) if isinstance(backends, Mapping) else {}
        return SideRecord(
            name=self.name,
            model=str(settings.get("model", "unknown")),
            backend=", ".join(names) or str(header.get("writer", {}).get("name", "unknown")),
            numerics=str(header.get("numerics", "float32")),
            precision=self.precision,
            recorded=self.pipe is None,
        )

    def release(self) -> None:
        """Free the networks of a pipeline that was opened for the comparison; the next use opens them again."""
        if self.pipe is not None and self.owned:
            self.pipe.unload()

    def close(self) -> None:
        """Close a pipeline that was opened for the comparison."""
        if self.pipe is not None and self.owned:
            self.pipe.close()


def open_sides(
    a: Any,
    b: Any,
    model: str | Path | None,
    openings: tuple[Mapping[str, Any], Mapping[str, Any]] = ({}, {}),
    on_download: Callable[[DownloadProgress], Any] | None = None,
) -> tuple[Side, Side]:
    """Open both sides.

    Parameters
    ----------
    a, b : Side, Pipeline, Recording, Backend, str or Path
        A text is the name of a backend, else a file or folder, else what :func:`sdrt.load` opens by name.
    model : str, Path or None
        What a backend runs. None: the other side's model, and ``nano`` where that is a backend too.
    openings : pair of mappings
        What else :func:`sdrt.load` takes for either.
    on_download : callable, optional
        As of :func:`sdrt.load`.

    Raises
    ------
    ConfigError, ModelError, RecordingError : one cannot be opened, or a backend beside a recording of another model has none
    """
    sides: list[Side | None] = [_open(given, opening, on_download) for given, opening in zip((a, b), openings, strict=True)]
    for k, given in enumerate((a, b)):
        if sides[k] is None:
            other = sides[1 - k]
            chosen = model or _model_beside(other)
            if "backend" in openings[k]:
                raise ConfigError(f"a side must have one backend, got {given!r} and {openings[k]['backend']!r}; name a model in its place")
            name = given if isinstance(given, str | Path) else given.name
            sides[k] = Side(name=str(name), pipe=load(chosen, given, on_download=on_download, **openings[k]), owned=True)
    first, second = sides
    assert first is not None and second is not None  # noqa: S101, PT018 -- both are open now
    return first, second


def _model_beside(other: Side | None) -> str | Path:
    """Return the model that a backend runs beside this side."""
    if other is None:
        return "nano"
    if other.pipe is not None:
        return other.pipe.model.path
    assert other.recording is not None  # noqa: S101 -- a side is one of both
    with suppress(RecordingError):
        name = other.recording.settings().model
        if name in EMBEDDED:
            return name
        raise ConfigError(f"a backend beside {other.name}, a recording of {shown(name)}, must be given the model; pass its folder as model")
    return "nano"


def _open(given: Any, opening: Mapping[str, Any], on_download: Callable[[DownloadProgress], Any] | None) -> Side | None:
    """Open a side that is no backend; a backend waits for a model."""
    side: Side | None = None
    if isinstance(given, Side):
        side = given
    elif isinstance(given, Pipeline):
        side = Side(name=f"{given.model.name} on {', '.join(dict.fromkeys(given.backends.values()))}", pipe=given)
    elif isinstance(given, Recording):
        side = Side(name=given.path.name, recording=given)
    elif isinstance(given, str | Path):
        path = Path(given)
        if not is_recording(path):
            is_backend = str(given) in registry.names() and not path.exists()
            return None if is_backend else Side(name=str(given), pipe=load(given, on_download=on_download, **opening), owned=True)
        side = Side(name=path.name, recording=Recording.open(path))
    elif callable(getattr(given, "open", None)):
        return None
    if side is None:
        raise ConfigError(
            f"a side must be a pipeline, a recording, a model or a backend, got a {type(given).__name__}; pass one of those, or its name"
        )
    needless = [name for name in opening if name != "threads"]
    if needless:
        raise ConfigError(f"{side.name}: is open already, got {', '.join(needless)} too; leave it out")
    return side
