"""The two sides of a comparison: a pipeline, a backend's name, a model, or a recording; and the run of each."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdrt.backends import Backend, registry
from sdrt.compare.calls import RunCall
from sdrt.compare.findings import SideRecord
from sdrt.compare.precision import precision_of, recorded_precision
from sdrt.compare.recording_runs import record
from sdrt.compare.runs import Run
from sdrt.compare.tolerances import Precision
from sdrt.errors import ConfigError
from sdrt.pipeline.loading import load
from sdrt.pipeline.pipeline import Pipeline
from sdrt.recordings import Recording

__all__ = ["Side", "open_sides"]

_ZIP = b"PK\x03\x04"
_FIRST_ENTRY = b"recording.json"
_NAME_AT = 30  # where the name of a zip's first entry stands


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

    @property
    def precision(self) -> Precision:
        """The least precise type that its networks compute in."""
        if self.pipe is not None:
            return precision_of(self.pipe)
        return recorded_precision(self.recording.header if self.recording is not None else {})

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
        names = dict.fromkeys(backends.values()) if isinstance(backends, Mapping) else {}
        return SideRecord(
            name=self.name,
            model=str(settings.get("model", "unknown")),
            backend=", ".join(map(str, names)) or str(header.get("writer", {}).get("name", "unknown")),
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


def open_sides(a: Any, b: Any, model: str | Path | None) -> tuple[Side, Side]:
    """Open both sides.

    Parameters
    ----------
    a, b : Pipeline, Recording, Backend, str or Path
        A text is the name of a backend, else a file or folder, else what :func:`sdrt.load` opens by name.
    model : str, Path or None
        What a backend runs. None: the other side's model if that side is one, else ``nano``.

    Raises
    ------
    ConfigError, ModelError, RecordingError : one cannot be opened
    """
    first, second = (_open(each, None) for each in (a, b))
    models = [_model_of(side) for side in (first, second)]
    made: list[Side] = []
    for given, side, other in ((a, first, models[1]), (b, second, models[0])):
        chosen = model if model is not None else other if other is not None else "nano"
        made.append(side if side is not None else _open(given, chosen) or _refused(given))
    return made[0], made[1]


def _open(given: Any, model: str | Path | None) -> Side | None:
    """Open a side; a backend without a model waits for one."""
    if isinstance(given, Side):
        return given
    if isinstance(given, Pipeline):
        return Side(name=f"{given.model.name} on {', '.join(dict.fromkeys(given.backends.values()))}", pipe=given)
    if isinstance(given, Recording):
        return Side(name=given.path.name, recording=given)
    if isinstance(given, str | Path):
        path = Path(given)
        if is_recording(path):
            return Side(name=path.name, recording=Recording.open(path))
        if str(given) not in registry.names() or path.exists():
            return Side(name=str(given), pipe=load(given), owned=True)
        return None if model is None else Side(name=str(given), pipe=load(model, str(given)), owned=True)
    if callable(getattr(given, "open", None)):
        backend: Backend = given
        return None if model is None else Side(name=backend.name, pipe=load(model, backend), owned=True)
    return _refused(given)


def _refused(given: Any) -> Side:
    raise ConfigError(
        f"a side must be a pipeline, a recording, a model or a backend, got a {type(given).__name__}; pass one of those, or its name"
    )


def is_recording(path: Path) -> bool:
    """Return whether a file begins as a recording does."""
    try:
        with path.open("rb") as stream:
            begin = stream.read(_NAME_AT + len(_FIRST_ENTRY))
    except (OSError, ValueError):
        return False
    return begin.startswith(_ZIP) and begin.endswith(_FIRST_ENTRY)


def _model_of(side: Side | None) -> Path | None:
    return None if side is None or side.pipe is None else side.pipe.model.path
