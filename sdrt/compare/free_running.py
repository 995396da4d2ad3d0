"""Two runs that each went its own way: how far they are apart in what they began with, after each step, and at the end."""

from collections.abc import Iterator

import numpy as np

from sdrt.arrays import U8, Array
from sdrt.compare.findings import CallRow, InputRow, PixelRow, StepRow
from sdrt.compare.pairs import paired_calls
from sdrt.compare.runs import Run
from sdrt.errors import ConfigError
from sdrt.metrics import Difference, difference, psnr

__all__ = ["check_comparable", "compare_calls", "compare_inputs", "compare_pixels", "compare_steps", "worst"]

_PEAK = 255.0


def check_comparable(a: Run, b: Run) -> None:
    """Check that both runs draw latents of one shape in as many steps.

    Raises
    ------
    ConfigError : they do not, or a recording does not hold the steps
    """
    counts = [len(run.steps) for run in (a, b)]
    if counts[0] != counts[1]:
        raise ConfigError(f"both sides must make as many steps, got {counts[0]} and {counts[1]}; set num_inference_steps and scheduler")
    for one, other in zip(a.steps, b.steps, strict=True):
        shapes = [event.arrays["after.x"].shape if "after.x" in event.arrays else None for event in (one, other)]
        if shapes[0] != shapes[1] or shapes[0] is None:
            raise ConfigError(
                f"both sides must draw latents of one shape, got {_shape(shapes[0])} and {_shape(shapes[1])}; "
                "set height and width, or take models of one family"
            )


def _shape(shape: tuple[int, ...] | None) -> str:
    return "none" if shape is None else "x".join(map(str, shape))


def compare_inputs(a: Run, b: Run) -> Iterator[InputRow]:
    """Yield what both runs began with, and the noise of their steps: same text, same tokens; same seed, same noise."""
    ours, theirs = a.beginning, b.beginning
    names = [
        name
        for name in ours.arrays
        if name in theirs.arrays and name.startswith(("tokens.", "refiner.tokens.", "noise", "source", "masked"))
    ]
    for name in names:
        (left,), (right,) = a.arrays(ours, name).values(), b.arrays(theirs, name).values()
        yield InputRow(name=name, error=_error(right, left))
    for step, (one, other) in enumerate(zip(a.steps, b.steps, strict=True)):
        drawn = [event.arrays.get("noise") for event in (one, other)]
        if drawn[0] is None and drawn[1] is None:
            continue
        missing = drawn[0] is None or drawn[1] is None
        error = float("inf") if missing else _error(b.arrays(other, "noise")["noise"], a.arrays(one, "noise")["noise"])
        yield InputRow(name=f"noise of step {step}", error=error)


def _error(value: Array, expected: Array) -> float:
    """Return the largest difference over the largest value; of integers, the share of different ones."""
    if value.shape != expected.shape:
        return float("inf")
    if expected.dtype.kind != "f":
        return float(np.mean(value != expected)) if value.size else 0.0
    return difference(value, expected).relative


def _number(value: object) -> float:
    """Return a value of an event, which any program may have written, as a number."""
    return float(value) if isinstance(value, int | float) else float("nan")


def compare_steps(a: Run, b: Run) -> Iterator[StepRow]:
    """Yield how far latents and predicted clean latents are apart after each step."""
    for step, (one, other) in enumerate(zip(a.steps, b.steps, strict=True)):
        ours, theirs = a.arrays(one, "after.x", "x0"), b.arrays(other, "after.x", "x0")
        yield StepRow(
            step=step,
            timestep=_number(one.values.get("timestep")),
            latents=difference(theirs["after.x"], ours["after.x"]),
            x0=difference(theirs["x0"], ours["x0"]) if "x0" in ours and "x0" in theirs else None,
        )


def compare_calls(a: Run, b: Run) -> Iterator[CallRow]:
    """Yield how far the outputs of each network call are apart, each side having its own inputs.

    Raises
    ------
    ConfigError : the outputs have other names or shapes
    """
    held = a.keep == b.keep == "all"
    for pair in paired_calls(a, b):
        inputs = 0.0
        if held:
            ours, theirs = pair.inputs
            inputs = max((_error(theirs[name], x) for name, x in ours.items() if name in theirs), default=0.0)
        expected, values = pair.outputs
        event = pair.event
        name, apart = worst(str(event.component), values, expected)
        yield CallRow(component=str(event.component), step=event.step, output=name, forced=False, inputs=inputs, difference=apart)


def worst(component: str, values: dict[str, Array], expected: dict[str, Array]) -> tuple[str, Difference]:
    """Return the output that differs most, and how much.

    Raises
    ------
    ConfigError : an output has another shape
    """
    shared = [name for name, x in expected.items() if name in values and x.dtype.kind == "f"]
    for name in shared:
        if values[name].shape != expected[name].shape:
            shapes = f"{_shape(expected[name].shape)} and {_shape(values[name].shape)}"
            raise ConfigError(f"both sides' {component} must give {name} of one shape, got {shapes}; take models of one family")
    if not shared:
        raise ConfigError(f"both sides' {component} must give outputs of one name, got none; take models of one family")
    apart = {name: difference(values[name], expected[name]) for name in shared}
    name = max(shared, key=lambda each: apart[each].relative)
    return name, apart[name]


def compare_pixels(pictures: tuple[tuple[U8, U8], ...]) -> Iterator[PixelRow]:
    """Yield how far the pictures are apart."""
    for image, (ours, theirs) in enumerate(pictures):
        apart = np.abs(ours.astype(np.int16) - theirs)
        yield PixelRow(
            image=image,
            max=int(apart.max(initial=0)),
            mean=float(apart.mean()),
            psnr=psnr(theirs, ours, _PEAK),
            different=float(apart.any(axis=-1).mean()),
        )
