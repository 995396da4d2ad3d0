"""``sdrt.compare.compare``: two sides, one call, and where they part."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from sdrt.compare.calls import RunCall
from sdrt.compare.comparison import Comparison
from sdrt.compare.departures import first_departure
from sdrt.compare.findings import CallRow, LayerRow, TruthRow
from sdrt.compare.free_running import check_comparable, compare_calls, compare_inputs, compare_pixels, compare_steps
from sdrt.compare.layers import compare_layers
from sdrt.compare.networks import opened
from sdrt.compare.runs import Run, first_run
from sdrt.compare.sides import Side, open_sides
from sdrt.compare.teacher_forced import force
from sdrt.compare.tolerances import Tolerances
from sdrt.compare.truth import judge, truth_rows
from sdrt.errors import ConfigError
from sdrt.recordings import Event

__all__ = ["compare"]

# Modules that are listed where none departs: those with the largest errors.
_LISTED_LAYERS = 20


def compare(
    a: Any,
    b: Any,
    prompt: str | Sequence[str] | None = None,
    *,
    seed: int | Sequence[int] | None = None,
    negative_prompt: str | Sequence[str] = "",
    model: str | Path | None = None,
    teacher_forced: bool = False,
    layers: bool = False,
    truth: bool = False,
    latents_tolerance: float | None = None,
    network_tolerance: float | None = None,
    scheduler_tolerance: float | None = None,
    layer_tolerance: float | None = None,
    on_stage: Callable[[str], None] | None = None,
    **options: Any,
) -> Comparison:
    """Draw one picture with both sides, and say how far they are apart and where they part.

    Both runs are recorded into a temporary folder, so that memory stays that of one side's run.

    Parameters
    ----------
    a, b : Pipeline, Recording, Backend, str or Path
        The baseline, and what is held against it. A text is the name of a backend, the path of a recording or a model (a folder of Core ML
        packages too), or a name that :func:`sdrt.load` opens.
    prompt : str or sequence of str, optional
        What to draw; left out where a side is a recording, whose call both make, unless whoever wrote it knew no settings.
    seed : int or sequence of int, optional
        Needed with a prompt: both sides draw from the same.
    negative_prompt : str or sequence of str
    model : str or Path, optional
        What a backend that is given by name runs. None: the other side's model if that side is one, else ``nano``.
    teacher_forced : bool
        Whether b makes each of a's network calls and steps again from a's inputs, so that errors do not add up. Where b is a recording, a
        makes b's.
    layers : bool
        Whether modules are compared too, each from the other side's values; includes ``teacher_forced``.
    truth : bool
        Whether both sides are held against the numpy backend in float64.
    latents_tolerance, network_tolerance, scheduler_tolerance, layer_tolerance : float, optional
        Errors up to these are rounding, see :class:`Tolerances`. None: by the precision of both sides.
    on_stage : callable, optional
        Called with a few words before each part of the work.
    **options
        What else ``Pipeline.generate`` takes.

    Returns
    -------
    Comparison

    Raises
    ------
    ConfigError : no prompt or no seed, sides of different families or sizes, or a recording that holds too little
    RecordingError : a recording that is damaged or did not finish
    SdrtError : as of :func:`sdrt.load` and ``Pipeline.generate``

    >>> comparison = compare("numpy", "numpy", "a red circle", seed=93, num_inference_steps=2)
    >>> comparison.equal, comparison.first_departure
    (True, None)
    """
    report = on_stage or (lambda _: None)
    with ExitStack() as stack:
        sides = open_sides(a, b, model)
        for side in sides:
            stack.callback(side.close)
        call = _call_of(sides, prompt, negative_prompt, seed, options)
        tolerances = Tolerances.of(
            sides[0].precision,
            sides[1].precision,
            "float16" if any(side.takes_half for side in sides) else "float64",
            latents=latents_tolerance,
            network=network_tolerance,
            scheduler=scheduler_tolerance,
            layer=layer_tolerance,
        )
        runs = tuple(_runs(sides, call, Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sdrt-compare-"))), report))
        first, second = runs
        check_comparable(first, second)
        inputs, steps = tuple(compare_inputs(first, second)), tuple(compare_steps(first, second))
        pictures = tuple(zip(first.pictures(), second.pictures(), strict=True)) if _have_pictures(first, second) else ()
        pixels = tuple(compare_pixels(pictures))
        if teacher_forced or layers:
            networks, modules = _forced(sides, runs, call, tolerances, report, layers=layers)
        else:
            networks, modules = tuple(compare_calls(first, second)), ()
        judged: tuple[TruthRow, ...] = ()
        if truth:
            report("the truth: numpy in float64")
            pipe = judge(sides)
            stack.callback(pipe.close)
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sdrt-compare-")))
            judged = tuple(truth_rows(first, second, call, pipe, folder))
        equal = all(row.error == 0 for row in inputs) and all(row.latents.equal for row in steps) and all(row.max == 0 for row in pixels)
        return Comparison(
            a=sides[0].describe(first),
            b=sides[1].describe(second),
            settings=first.record,
            tolerances=tolerances,
            equal=equal,
            first_departure=first_departure(inputs, networks, modules, steps, pixels, tolerances),
            inputs=inputs,
            steps=steps,
            networks=networks,
            layers=modules,
            truth=judged,
            pixels=pixels,
            pictures=pictures,
        )


def _call_of(sides: tuple[Side, Side], prompt: Any, negative_prompt: Any, seed: Any, options: dict[str, Any]) -> RunCall:
    recordings = [side.recording for side in sides if side.recording is not None]
    known = next((each for each in recordings if each.beginning(first_run(each)).values.get("settings")), None)
    if known is not None:
        if prompt is not None or seed is not None or options:
            raise ConfigError(f"both sides must make the call of {known.path.name}, got a prompt, seed or options too; leave them out")
        return RunCall("") if len(recordings) == len(sides) else RunCall.of_recording(known)
    if len(recordings) == len(sides):
        return RunCall("")
    if prompt is None:
        raise ConfigError("prompt must be given where neither side is a recording with settings, got none; pass a text to draw")
    if seed is None or seed == -1:
        raise ConfigError("seed must be given, so that both sides draw from the same, got none; pass a number")
    return RunCall(prompt, negative_prompt, {**options, "seed": seed})


def _runs(sides: tuple[Side, Side], call: RunCall, folder: Path, report: Callable[[str], None]) -> Iterator[Run]:
    """Make both runs, one after the other: networks of both are not held at once."""
    for letter, side in zip("ab", sides, strict=True):
        report(f"{letter}: {side.name}")
        (folder / letter).mkdir()
        yield side.run(call, folder / letter)
        side.release()


def _have_pictures(a: Run, b: Run) -> bool:
    """Return whether both runs have the same number of pictures of one size."""
    shapes = [[x.shape for x in run.pictures()] for run in (a, b)]
    return bool(shapes[0]) and shapes[0] == shapes[1]


def _forced(
    sides: tuple[Side, Side], runs: tuple[Run, ...], call: RunCall, tolerances: Tolerances, report: Callable[[str], None], *, layers: bool
) -> tuple[tuple[CallRow, ...], tuple[LayerRow, ...]]:
    """Make the calls of one side again with the other's networks, and look into those that say most."""
    at = next((k for k in (1, 0) if sides[k].pipe is not None), None)
    if at is None:
        raise ConfigError("one side must have networks to make the other's calls again, got two recordings; compare with a model")
    runner, recorded = sides[at], runs[1 - at]
    assert runner.pipe is not None  # noqa: S101 -- chosen so
    report(f"{runner.name}, from the inputs of {sides[1 - at].name}")
    resolved = call.resolve(runner.pipe)
    other = sides[1 - at].pipe
    theirs = None if other is None else call.resolve(other)
    # packages round their inputs, which is not the other side's error
    recorder = theirs if theirs is not None and sides[1 - at].takes_half else None
    rows = tuple(force(recorded, recorder, resolved, runner.name))
    if not layers:
        return rows, ()
    if theirs is None:
        raise ConfigError(
            f"layers must be compared between two sides with networks, got the recording {sides[1 - at].name}; leave layers out"
        )
    found: list[LayerRow] = []
    for event in _telling(recorded, rows, tolerances):
        report(f"layers of {event.component}{'' if event.step is None else f', step {event.step}'}")
        with opened(theirs, event, sides[1 - at].name) as one, opened(resolved, event, runner.name) as two:
            found += _listed(list(compare_layers(one, two, recorded.inputs(event), event, tolerances)))
    return rows, tuple(found)


def _telling(run: Run, rows: Sequence[CallRow], tolerances: Tolerances) -> Iterator[Event]:
    """Yield the calls to look into, in the order of the run: of each network the first, the first that departs, and the worst."""
    events = [event for event in run.events if event.kind == "network"]
    calls = [row for row in rows if row.component != "scheduler"]
    chosen = set()
    for component in dict.fromkeys(row.component for row in calls):
        own = [(k, row.difference.relative) for k, row in enumerate(calls) if row.component == component]
        departing = [k for k, error in own if not error <= tolerances.network]
        chosen |= {own[0][0], max(own, key=lambda each: each[1])[0], *departing[:1]}
    yield from (event for k, event in enumerate(events) if k in chosen)


def _listed(rows: list[LayerRow]) -> list[LayerRow]:
    """Keep those that depart, and those with the largest errors, in their order."""
    largest = sorted(range(len(rows)), key=lambda k: -rows[k].error / (rows[k].allowed or 1.0))[:_LISTED_LAYERS]
    return [row for k, row in enumerate(rows) if row.departs or k in largest]
