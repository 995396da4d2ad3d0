"""Times whole pictures, as Apple's table of Core ML models is made: the median of several after a warm-up, loading apart."""

import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, TypeAlias

from sdrt.backends import registry
from sdrt.benchmarking.attention import attention_of
from sdrt.benchmarking.machine import peak_memory_mib, reset_peak_memory
from sdrt.errors import ConfigError, SdrtError
from sdrt.limits import DEFAULT_LIMITS
from sdrt.models import DownloadProgress
from sdrt.pipeline.loading import load
from sdrt.pipeline.pipeline import Pipeline
from sdrt.pipeline.results import Result
from sdrt.pipeline.step import Step
from sdrt.printable import shown
from sdrt.values import Anything, Either, FilePath, Integer, Kind, ListOf, MappingOf, Nullable, Text, read_values

__all__ = ["Candidate", "Measurement", "Workload", "candidates", "measure"]

OnStep: TypeAlias = Callable[["Candidate", int, int], None]
"""Told the candidate, how many network calls are over, and how many there are in all, warm-up included."""

OnDownload: TypeAlias = Callable[[DownloadProgress], Any]

# Before anything counts: enough for compilers and caches to settle, as Apple's own benchmark has it.
_WARM_UP_STEPS = 3
# What `sdrt.load` takes for every backend.
_COMMON_OPTIONS = ("threads", "reduce_memory")


_SIZE = Nullable(Integer(minimum=1))
_WORKLOAD: dict[str, Kind[Any]] = {
    "prompt": Text(length=None),
    "seed": Integer(),
    "steps": Integer(minimum=1),
    "repeats": Integer(minimum=1, maximum=DEFAULT_LIMITS.images),
    "height": _SIZE,
    "width": _SIZE,
    "scheduler": Nullable(Text(empty=False)),
}


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What is drawn.

    Parameters
    ----------
    prompt : str
    seed : int
    steps : int, at least 1
    repeats : int, at least 1
        Pictures that count.
    height, width : int or None (pixels)
        None: the model's own.
    scheduler : str or None
        None: the model's own.

    Raises
    ------
    ConfigError : a value of another kind, or out of range
    """

    prompt: str = "a high quality photo of an astronaut riding a horse in space"
    seed: int = 93
    steps: int = 50
    repeats: int = 3
    height: int | None = None
    width: int | None = None
    scheduler: str | None = None

    def __post_init__(self) -> None:
        values = read_values("", {field.name: getattr(self, field.name) for field in fields(self)}, _WORKLOAD, "pass what is to be timed")
        for name, value in values.items():
            object.__setattr__(self, name, value)


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A model and what runs it.

    Parameters
    ----------
    model : str
    backend : str
    compute_unit : str or None
        None for backends that know none.
    options : mapping
        Whatever else goes to `sdrt.load`.
    """

    model: str
    backend: str
    compute_unit: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What one candidate took.

    Parameters
    ----------
    candidate : Candidate
    attention : str or None
        How the converter wrote the U-Net's attention; None for other models.
    height, width : int (pixels)
    calls : int
        Network calls of a picture: more than its steps with schedulers that call twice.
    load_seconds : float
        Opening the model and all networks that drawing needs.
    image_seconds : float
        A picture from prompt to pixels, the median; ``all_image_seconds`` has each.
    step_seconds : float
        From one network call to the next, the median over all pictures.
    peak_memory_mib : float or None
        The process's largest resident set from loading on; None where the system does not tell.
    skipped : str
        Why there are no figures; empty where there are.
    """

    candidate: Candidate
    attention: str | None = None
    height: int = 0
    width: int = 0
    calls: int = 0
    load_seconds: float = 0.0
    image_seconds: float = 0.0
    all_image_seconds: tuple[float, ...] = ()
    step_seconds: float = 0.0
    peak_memory_mib: float | None = None
    skipped: str = ""


def candidates(
    models: Sequence[str], backends: Sequence[str], compute_units: Sequence[str] = (), options: Mapping[str, Any] | None = None
) -> list[Candidate]:
    """Every model on every backend, and on every compute unit where the backend knows them.

    Parameters
    ----------
    options : mapping
        For `sdrt.load`; what belongs to some backends alone goes to those.

    Raises
    ------
    ConfigError : there is no such backend, it cannot be used here, or none of them takes a compute unit or option that was given
    """
    models = ListOf(Either(Text(length=None, empty=False), FilePath()), minimum=1).check("models", models, "pass a list of models")
    backends = ListOf(Text(empty=False), minimum=1).check("backends", backends, "pass a list of names")
    compute_units = ListOf(Text(empty=False)).check("compute_units", compute_units, "pass a list of names")
    given = MappingOf(Anything()).check("options", options or {}, "pass what sdrt.load takes")
    opened = [registry.get(name) for name in backends]
    own = {name for name in given if name not in _COMMON_OPTIONS}
    # ALL restricts nothing, and so is taken by every backend
    wanted = own | ({"compute_unit"} if set(compute_units) - {"ALL"} else set())
    if unknown := sorted(wanted - {name for backend in opened for name in backend.option_names}):
        raise ConfigError(f"{', '.join(unknown)}: none of the backends {', '.join(backends)} takes it; leave it out or name one that does")
    found = []
    for model in models:
        for backend in opened:
            units = (compute_units or (None,)) if "compute_unit" in backend.option_names else (None,)
            taken = {name: value for name, value in given.items() if name not in own or name in backend.option_names}
            found += [Candidate(model=str(model), backend=backend.name, compute_unit=unit, options=taken) for unit in units]
    return found


def measure(
    chosen: Iterable[Candidate], workload: Workload, *, on_step: OnStep | None = None, on_download: OnDownload | None = None
) -> Iterator[Measurement]:
    """Measure candidates one after the other, each opened alone.

    Parameters
    ----------
    chosen : Candidates
    workload : Workload
    on_step : OnStep, optional
    on_download : callable, optional
        As of `sdrt.load`. The time that downloads take is not that of loading.

    Returns
    -------
    iterator of Measurement
        Each as soon as it is there. A candidate that cannot run (a model that its backend cannot open, say) is skipped with its reason.

    Raises
    ------
    ConfigError : no candidates, no workload, or no function
    """
    if not isinstance(workload, Workload):
        raise ConfigError(f"workload must be a Workload, got {shown(workload)}; pass sdrt.benchmarking.Workload(...)")
    for name, function in (("on_step", on_step), ("on_download", on_download)):
        if function is not None and not callable(function):
            raise ConfigError(f"{name} must be a function, got {shown(function)}; leave it out")
    listed = list(chosen) if isinstance(chosen, Iterable) else [chosen]
    if wrong := [each for each in listed if not isinstance(each, Candidate)]:
        raise ConfigError(f"chosen must hold Candidates, got {shown(wrong[0])}; pass what sdrt.benchmarking.candidates(...) returns")
    return _measured_one_by_one(listed, workload, on_step, on_download)


def _measured_one_by_one(
    chosen: Sequence[Candidate], workload: Workload, on_step: OnStep | None, on_download: OnDownload | None
) -> Iterator[Measurement]:
    for candidate in chosen:
        try:
            yield _measured(candidate, workload, on_step, on_download)
        except SdrtError as error:
            yield Measurement(candidate=candidate, skipped=str(error))


def _measured(candidate: Candidate, workload: Workload, on_step: OnStep | None, on_download: OnDownload | None) -> Measurement:
    unit: dict[str, Any] = {} if candidate.compute_unit is None else {"compute_unit": candidate.compute_unit}
    measurable = reset_peak_memory()
    began = time.perf_counter()

    def downloading(progress: DownloadProgress) -> None:
        nonlocal began
        if on_download is not None:
            on_download(progress)
        began = time.perf_counter()

    with load(candidate.model, candidate.backend, on_download=downloading, **candidate.options, **unit) as pipe:
        pipe.load()
        loaded = time.perf_counter() - began
        clock = _Clock(candidate, on_step)
        warm_up = min(workload.steps, _WARM_UP_STEPS)
        _draw(pipe, workload, warm_up, clock)
        clock.expect(workload, warm_up)
        pictures, gaps = [], []
        for _ in range(workload.repeats):
            start = time.perf_counter()
            result = _draw(pipe, workload, workload.steps, clock)
            pictures.append(time.perf_counter() - start)
            gaps += clock.gaps
        return Measurement(
            candidate=candidate,
            attention=attention_of(candidate.model),
            height=result.settings.height,
            width=result.settings.width,
            calls=clock.calls,
            load_seconds=loaded,
            image_seconds=statistics.median(pictures),
            all_image_seconds=tuple(pictures),
            # a picture of one call has no gap between two
            step_seconds=statistics.median(gaps) if gaps else statistics.median(pictures),
            peak_memory_mib=peak_memory_mib() if measurable else None,
        )


class _Clock:
    """Notes when each network call of a picture is over."""

    def __init__(self, candidate: Candidate, on_step: OnStep | None) -> None:
        self._candidate, self._on_step = candidate, on_step
        self._done = self._expected = 0
        self._times: list[float] = []
        self.calls = 0

    @property
    def gaps(self) -> list[float]:
        """Seconds between the calls of the last picture."""
        return [after - before for before, after in zip(self._times, self._times[1:], strict=False)]

    def expect(self, workload: Workload, warm_up: int) -> None:
        """Estimate the number of calls of all pictures from those of the warm-up picture."""
        each = self.calls / warm_up
        self._expected = self.calls + round(each * workload.steps) * workload.repeats

    def __call__(self, step: Step) -> None:
        if step.index == 0:
            self._times = []
        self._times.append(time.perf_counter())
        self.calls = step.num_steps
        self._done += 1
        if self._on_step is not None:
            self._on_step(self._candidate, self._done, max(self._expected, self._done))


def _draw(pipe: Pipeline, workload: Workload, steps: int, clock: _Clock) -> Result:
    return pipe.generate(
        workload.prompt,
        seed=workload.seed,
        num_inference_steps=steps,
        height=workload.height,
        width=workload.width,
        scheduler=workload.scheduler,
        on_step=clock,
    )
