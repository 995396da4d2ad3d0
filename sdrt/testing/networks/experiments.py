"""Experiments on a network that departs: what it takes no notice of, and from which row, token, size or timestep on it is wrong."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from sdrt.testing.explain import Hypothesis
from sdrt.testing.networks.bench import Bench
from sdrt.testing.networks.judge import row_errors
from sdrt.testing.networks.trials import PLAIN, Trial

__all__ = ["experiments", "ignored_inputs"]

_ORDINALS = ("first", "second", "third", "fourth", "fifth")
_ROWS = range(2, 6)


def ignored_inputs(bench: Bench) -> Iterator[Hypothesis[Trial]]:
    """Change one input at a time in a plain call, and yield those that the network under test takes no notice of."""
    plain, other = bench.inputs(PLAIN), bench.inputs(replace(PLAIN, seed=50, timesteps=(40.0,)))
    for name in plain:
        if bench.notices(plain, {**plain, name: other[name]}) is False:
            yield Hypothesis("input_ignored", f"{name} is ignored: another one gives the same numbers", lambda _: True)


def experiments(bench: Bench, differing: Sequence[Trial]) -> Iterator[Hypothesis[Trial]]:
    """Yield from where on a network is wrong that is right in a plain call, for the axes on which trials differ."""
    axes = {trial.axis for trial in differing}
    if axes & {"rows", "together"}:
        yield from _rows(bench)
    if axes & {"lengths", "together"}:
        yield from _lengths(bench, [trial.setting.length for trial in differing if trial.axis in ("lengths", "together")])
    if axes & {"sizes", "together"}:
        yield from _sizes(bench, [trial for trial in differing if trial.axis in ("sizes", "together")])
    if wrong := [trial.setting.timesteps for trial in differing if trial.axis == "times"]:
        listed = " or ".join(", ".join(f"{t:g}" for t in each) for each in wrong)
        yield _on_axis("wrong_at_some_timesteps", f"timestep {listed} gives other numbers", "times")
    if "values" in axes:
        yield _on_axis("wrong_for_some_values", "other numbers where the inputs have other values than in a plain call", "values")
    if "residuals" in axes:
        yield _on_axis("residual_wrong", "a ControlNet's residuals have another effect than being added", "residuals")


def _on_axis(kind: str, text: str, axis: str) -> Hypothesis[Trial]:
    return Hypothesis(kind, text, lambda trial: trial.axis == axis or None)


def _rows(bench: Bench) -> Iterator[Hypothesis[Trial]]:
    """Find rows that depend on others, a row that is wrong wherever it is, or numbers of rows that are."""
    wrong: dict[int, list[int]] = {}
    for rows in _ROWS:
        if bench.takes(replace(PLAIN, rows=rows)):
            trial = bench.trial("rows", replace(PLAIN, rows=rows))
            wrong[rows] = np.flatnonzero(row_errors(trial.found, trial.wanted) > bench.bound).tolist()
    failing = [rows for rows, which in wrong.items() if which]
    if not failing:
        return
    first = failing[0]
    mixed = _mixed_rows(bench, first)
    if mixed is not None:
        mover, moved = mixed
        yield Hypothesis(
            "rows_mixed",
            f"rows are mixed: the {_ORDINALS[mover]} row's inputs move the {_ORDINALS[moved]} row's outputs",
            lambda trial: trial.setting.rows >= first,
        )
        return
    always = [row for row in range(5) if all(row in which for rows, which in wrong.items() if rows > row) and row < max(wrong)]
    size = _percent(bench.error(replace(PLAIN, rows=first)))
    if always and all(set(which) <= set(always) for which in wrong.values()):
        named = " and the ".join(_ORDINALS[row] for row in always)
        yield Hypothesis("row_wrong", f"the {named} row is wrong by {size} in every call that has it", lambda t: t.setting.rows > always[0])
        return
    numbers = ", ".join(map(str, failing))
    yield Hypothesis("wrong_at_some_numbers_of_rows", f"calls of {numbers} rows are wrong by {size}", lambda t: t.setting.rows in failing)


def _mixed_rows(bench: Bench, rows: int) -> tuple[int, int] | None:
    """Return a row whose inputs move another row's outputs, and that row."""
    inputs, other = bench.inputs(replace(PLAIN, rows=rows)), bench.inputs(replace(PLAIN, rows=rows, seed=50))
    before = bench.examinee.run(inputs)
    for mover in range(rows):
        changed = {name: x.copy() for name, x in inputs.items()}
        for name, x in changed.items():
            x[mover] = other[name][mover]
        moved = row_errors(bench.examinee.run(changed), before) > bench.bound
        moved[mover] = False
        if moved.any():
            return mover, int(moved.argmax())
    return None


def _lengths(bench: Bench, wrong: Sequence[int]) -> Iterator[Hypothesis[Trial]]:
    """Find the first length that is wrong, and the token from which on none is heeded."""
    longest = max(wrong)
    if not bench.is_wrong(replace(PLAIN, length=longest)):
        return
    if longest < PLAIN.length:
        yield _on_axis("wrong_at_some_lengths", f"texts of {', '.join(map(str, sorted(set(wrong))))} tokens are wrong", "lengths")
        return
    first = _first(
        lambda length: bench.is_wrong(replace(PLAIN, length=length)), PLAIN.length, min(each for each in wrong if each > PLAIN.length)
    )
    deaf = _first_unheeded(bench, longest)
    if deaf is not None:
        yield Hypothesis(
            "tokens_ignored",
            f"tokens from {deaf} on (counted from 0) are ignored: others there give the same numbers",
            lambda trial: trial.setting.length >= first,
        )
        return
    size = _percent(bench.error(replace(PLAIN, length=longest)))
    yield Hypothesis(
        "wrong_at_some_lengths",
        f"texts of {first} tokens and more are wrong, those of {longest} by {size}",
        lambda trial: trial.setting.length >= first,
    )


def _first_unheeded(bench: Bench, length: int) -> int | None:
    """Return the first token from which on the network under test notices no change."""
    inputs, other = bench.inputs(replace(PLAIN, length=length)), bench.inputs(replace(PLAIN, length=length, seed=50))
    name = next(name for name in ("input_ids", "encoder_hidden_states") if name in inputs)
    # two texts may have the end token at one place
    others = (inputs[name] + 11) % bench.config["vocab_size"] if name == "input_ids" else other[name]

    def unheeded(start: int) -> bool:
        changed = inputs[name].copy()
        changed[:, start:] = others[:, start:]
        return bench.notices(inputs, {**inputs, name: changed}) is False

    return _first(unheeded, 0, length - 1) if unheeded(length - 1) else None


def _sizes(bench: Bench, wrong: Sequence[Trial]) -> Iterator[Hypothesis[Trial]]:
    """Find which side matters, and from which one on the network is wrong."""
    size = _percent(max(trial.error for trial in wrong))
    first: dict[str, int] = {}
    if bench.is_wrong(replace(PLAIN, height=(tallest := max(trial.setting.height for trial in wrong)))):
        first["height"] = _first(lambda at: bench.is_wrong(replace(PLAIN, height=at)), PLAIN.height, tallest)
    if bench.is_wrong(replace(PLAIN, width=(broadest := max(trial.setting.width for trial in wrong)))):
        first["width"] = _first(lambda at: bench.is_wrong(replace(PLAIN, width=at)), PLAIN.width, broadest)
    if first:
        sides = " or ".join(f"{side} {at}" for side, at in first.items())
        yield Hypothesis(
            "wrong_at_some_sizes",
            f"latents of {sides} and more are wrong, by up to {size}",
            lambda trial: any(getattr(trial.setting, side) >= at for side, at in first.items()),
        )
        return
    smallest = min(wrong, key=lambda trial: trial.setting.pixels).setting
    height, width = smallest.height, smallest.width
    if not bench.is_wrong(replace(PLAIN, height=height, width=width)):
        return
    if height % 8 or width % 8:
        yield Hypothesis(
            "wrong_at_some_sizes",
            f"latents whose sides are no multiples of 8 ({height}x{width}) are wrong, by {size}",
            lambda trial: bool(trial.setting.height % 8 or trial.setting.width % 8),
        )
    edge = _first(lambda at: bench.is_wrong(replace(PLAIN, height=at, width=at)), PLAIN.height, max(height, width))
    yield Hypothesis(
        "wrong_at_some_sizes",
        f"latents of {edge}x{edge} and more are wrong, by up to {size}: both sides matter",
        lambda trial: trial.setting.height * trial.setting.width >= edge * edge or None,
    )


def _first(wrong: Callable[[int], bool], good: int, bad: int) -> int:
    """Return the first number that is wrong, between one that is right and one that is wrong."""
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (good, middle) if wrong(middle) else (middle, bad)
    return bad


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"
