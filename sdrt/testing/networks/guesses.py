"""Mistakes around a network, in what it is given and in what it gives: each as the outputs that a network with it would have."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from sdrt.arrays import Array
from sdrt.testing.networks.judge import Judge, Outputs
from sdrt.testing.networks.mistakes import MISTAKES, Mistake
from sdrt.testing.networks.settings import Inputs

__all__ = ["Guess", "guesses_for"]

_RESIDUAL = "additional_residual_"


@dataclass(frozen=True)
class Guess:
    """A mistake that a network may make.

    Parameters
    ----------
    kind : str
        Of the fault.
    text : str
        What it does.
    predict : callable
        Takes the judge and a call's inputs, and returns the outputs of a network with the mistake; None where it says nothing of such
        inputs.
    """

    kind: str
    text: str
    predict: Callable[[Judge, Inputs], Outputs | None]


def guesses_for(inputs: Inputs, outputs: Outputs, *, plain_is_wrong: bool) -> list[Guess]:
    """Return the guesses for a network that takes and gives these arrays, the most particular first.

    A mistake in a part of the network shows in every call: where a plain call is right there is none.
    """
    return [
        *_about_times(inputs),
        *_about_rows(inputs),
        *_about_residuals(inputs),
        *_about_values(inputs),
        *_about_outputs(outputs),
        *(Guess(each.kind, each.text, partial(_mistaken, each)) for each in MISTAKES.values() if plain_is_wrong),
    ]


def _mistaken(mistake: Mistake, judge: Judge, inputs: Inputs) -> Outputs:
    return judge.mistaken(mistake.text, mistake.program).run(inputs)


def _given(change: Callable[[Inputs], Inputs | None], judge: Judge, inputs: Inputs) -> Outputs | None:
    changed = change(inputs)
    return None if changed is None else judge.run(changed)


def _with(name: str, change: Callable[[Array], Array]) -> Callable[[Judge, Inputs], Outputs | None]:
    """Predict by another value of one input; nothing where that is the same value."""

    def changed(inputs: Inputs) -> Inputs | None:
        if name not in inputs:
            return None
        other = change(inputs[name])
        return None if np.array_equal(other, inputs[name]) else {**inputs, name: other}

    return partial(_given, changed)


def _about_times(inputs: Inputs) -> Iterator[Guess]:
    if "timestep" not in inputs:
        return
    changes: tuple[tuple[str, str, Callable[[Array], Array]], ...] = (
        ("timesteps_rounded", "timesteps are cut to whole numbers", np.floor),
        ("timesteps_rounded", "timesteps are rounded to whole numbers", np.round),
        ("timesteps_rounded", "timesteps are rounded up to whole numbers", np.ceil),
        ("timesteps_rounded", "timesteps are rounded to float16", lambda t: t.astype(np.float16).astype(t.dtype)),
        ("timesteps_off_by_one", "timesteps are one too large", lambda t: t + 1),
        ("timesteps_off_by_one", "timesteps are one too small", lambda t: t - 1),
        ("timesteps_off_by_one", "timesteps are one too small, but never below 0", lambda t: np.maximum(t - 1, 0)),
        ("timesteps_scaled", "timesteps are divided by 1000", lambda t: t / 1000),
        ("timesteps_scaled", "timesteps are multiplied by 1000", lambda t: t * 1000),
        ("timesteps_scaled", "timesteps count from the other end", lambda t: 999 - t),
        ("timesteps_clipped", "timesteps are clipped to 0..998", lambda t: np.clip(t, 0, 998)),
        ("timesteps_clipped", "timesteps below 1 count as 1", lambda t: np.maximum(t, 1)),
    )
    for kind, text, change in changes:
        yield Guess(kind, text, _with("timestep", change))


def _about_rows(inputs: Inputs) -> Iterator[Guess]:
    for name in inputs:
        if not name.startswith(_RESIDUAL):
            yield Guess("first_row_for_all", f"every row gets the first row's {name}", _with(name, lambda x: x[:1].repeat(len(x), axis=0)))
    for text, order in (("are returned in reverse order", slice(None, None, -1)), ("are returned one place further", None)):

        def reordered(judge: Judge, inputs: Inputs, order: slice | None = order) -> Outputs | None:
            if len(next(iter(inputs.values()))) < 2:
                return None
            return {name: x[order] if order else np.roll(x, 1, axis=0) for name, x in judge.run(inputs).items()}

        yield Guess("rows_in_another_order", f"rows {text}", reordered)


def _about_residuals(inputs: Inputs) -> Iterator[Guess]:
    names = [name for name in inputs if name.startswith(_RESIDUAL)]
    if not names:
        return
    last = names[-1]

    def scaled(chosen: list[str], factor: float, inputs: Inputs) -> Inputs | None:
        return {**inputs, **{name: inputs[name] * factor for name in chosen}} if last in inputs else None

    def guess(kind: str, text: str, chosen: list[str], factor: float) -> Guess:
        return Guess(kind, text, partial(_given, partial(scaled, chosen, factor)))

    yield guess("residuals_ignored", "the residuals of ControlNets are ignored", names, 0.0)
    yield guess("mid_residual_twice", "the middle's residual is added twice", [last], 2.0)
    yield guess("mid_residual_ignored", "the middle's residual is ignored", [last], 0.0)
    yield guess("residual_wrong", "all residuals but the middle's are ignored", names[:-1], 0.0)
    yield guess("residual_wrong", "all residuals are added twice", names, 2.0)
    yield guess("residual_wrong", "residuals are subtracted", names, -1.0)
    for name in names[:-1]:
        yield guess("residual_wrong", f"{name} is ignored", [name], 0.0)
        yield guess("residual_wrong", f"{name} is added twice", [name], 2.0)


def _about_values(inputs: Inputs) -> Iterator[Guess]:
    if "controlnet_cond" in inputs:
        yield Guess(
            "channels_reversed", "the picture's channels are read as blue, green, red", _with("controlnet_cond", _reversed_channels)
        )
        yield Guess("picture_rescaled", "the picture is stretched from [0, 1] to [-1, 1]", _with("controlnet_cond", lambda x: 2 * x - 1))
    if "x" in inputs:
        yield Guess("channels_reversed", "the picture's channels are read as blue, green, red", _with("x", _reversed_channels))
        yield Guess("picture_rescaled", "the picture is taken for one in [0, 1]", _with("x", lambda x: (x + 1) / 2))
        yield Guess("picture_rescaled", "the picture is stretched from [0, 1] to [-1, 1]", _with("x", lambda x: 2 * x - 1))
    if "z" in inputs:
        for factor in (0.18215, 0.13025):
            yield Guess("latents_rescaled", f"latents are divided by {factor}, as the pipeline does", _with("z", partial(_divided, factor)))
    for name in ("sample", "z", "clip_input"):
        if name in inputs:
            yield Guess("height_and_width_swapped", f"height and width of {name} are swapped", partial(_transposed, name))
            for bound in (1.0, 3.0, 4.0):
                yield Guess("input_clipped", f"{name} is clipped to {bound:g}", _with(name, partial(np.clip, a_min=-bound, a_max=bound)))
    if "time_ids" in inputs:
        yield Guess("time_ids_in_another_order", "heights and widths of time_ids are swapped", _with("time_ids", _swapped_pairs))
    floats = [name for name, x in inputs.items() if x.dtype != np.int32]
    for name, bits in (("float16", 11), ("bfloat16", 8)):

        def rounded(inputs: Inputs, bits: int = bits) -> Inputs:
            return {**inputs, **{each: _rounded(inputs[each], bits) for each in floats if each in inputs}}

        yield Guess("inputs_rounded", f"inputs are rounded to {name}", partial(_given, rounded))


def _about_outputs(outputs: Outputs) -> Iterator[Guess]:
    def of_each(kind: str, text: str, change: Callable[[Array], Array]) -> Guess:
        return Guess(kind, text, lambda judge, inputs: {name: change(x) for name, x in judge.run(inputs).items()})

    yield of_each("output_rescaled", "outputs have the opposite sign", np.negative)
    if "image" in outputs:
        yield of_each("output_rescaled", "pictures are given in [0, 1]", lambda x: x / 2 + 0.5)
        yield of_each("output_rescaled", "pictures are given in [0, 1] and clipped", lambda x: np.clip(x / 2 + 0.5, 0, 1))
        yield of_each("output_clipped", "pictures are clipped to [-1, 1]", lambda x: np.clip(x, -1, 1))
        yield of_each("channels_reversed", "pictures are given in blue, green, red", lambda x: x[:, ::-1])
    if "moments" in outputs:
        yield of_each("outputs_exchanged", "means and logarithms of variances are exchanged", lambda x: np.roll(x, x.shape[1] // 2, axis=1))
        for factor in (0.18215, 0.13025):
            yield of_each("output_rescaled", f"moments are multiplied by {factor}", partial(np.multiply, factor))
    if "penultimate_hidden_state" in outputs:
        yield Guess("outputs_exchanged", "penultimate_hidden_state is the last one", _last_for_penultimate)
        yield Guess("outputs_exchanged", "last_hidden_state is the penultimate one", _penultimate_for_last)


def _reversed_channels(x: Array) -> Array:
    return np.flip(x, axis=-3)


def _divided(factor: float, x: Array) -> Array:
    return x / factor


def _swapped_pairs(x: Array) -> Array:
    swapped = x.copy()
    pairs = x.shape[1] // 2 * 2
    swapped[:, :pairs] = x[:, :pairs].reshape(len(x), -1, 2)[:, :, ::-1].reshape(len(x), -1)
    return swapped


def _rounded(x: Array, bits: int) -> Array:
    mantissa, exponent = np.frexp(x)
    rounded: Array = np.ldexp(np.round(np.ldexp(mantissa, bits)), exponent - bits)
    return rounded


def _transposed(name: str, judge: Judge, inputs: Inputs) -> Outputs | None:
    if name not in inputs or len(inputs) > 3:
        return None
    outputs = judge.run({**inputs, name: inputs[name].swapaxes(2, 3)})
    return {key: x.swapaxes(2, 3) if x.ndim == 4 else x for key, x in outputs.items()}


def _last_for_penultimate(judge: Judge, inputs: Inputs) -> Outputs:
    outputs = judge.run(inputs)
    return {**outputs, "penultimate_hidden_state": outputs["last_hidden_state"]}


def _penultimate_for_last(judge: Judge, inputs: Inputs) -> Outputs:
    outputs = judge.run(inputs)
    return {**outputs, "last_hidden_state": outputs["penultimate_hidden_state"]}
