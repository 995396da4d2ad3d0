"""Make a recipe of mixed bits from measurements."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from converter.compression.applying import Progress
from converter.compression.choosing import Option, descent, spend_spare_bytes
from converter.compression.clustering import palettized_values
from converter.compression.measurements import Measurements
from converter.compression.measuring import OutputMeasure
from converter.compression.recipes import Recipe, RecipeEntry
from converter.compression.settings import MixedBits
from converter.compression.sizes import PLAIN, palettized_bytes, plain_bytes, total_bytes
from converter.compression.weights import Weight, find_weights, fingerprint, weight_file
from sdrt.arrays import Array
from sdrt.errors import ConfigError

__all__ = ["Measure", "make_recipe"]

Measure: TypeAlias = Callable[[Mapping[str, Array]], float]
"""Take weights by name, and return the PSNR, in dB, of the model's output with them instead of its own."""

BITS = (1, 2, 4, 6, 8)


def make_recipe(
    path: Path,
    aim: MixedBits,
    *,
    measure: Measure | None = None,
    measurements: Path | None = None,
    progress: Progress | None = None,
) -> Recipe:
    """Measure how each weight's palettes affect the output, choose, and measure the choice.

    Parameters
    ----------
    path : path of an uncompressed .mlpackage
    aim : MixedBits
    measure : Measure or None
        None runs the package in the executor, on fixed random inputs. Its attribute ``key``, if present, distinguishes its measurements in
        a file from those of others.
    measurements : Path or None
        The file for measurements, from which an interrupted run continues.
    progress : called after each measurement, or None

    Raises
    ------
    ConfigError : an aim that cannot be reached; the message says what can be
    ModelError : an unreadable file of measurements
    """
    weights, numbers = find_weights(path, aim.min_elements)
    whole = weight_file(path).stat().st_size
    _check_reachable(aim, weights, whole)
    if measure is not None:
        return _measure_and_choose(path, aim, weights, numbers, whole, measure, measurements, progress)
    with OutputMeasure(path) as own:
        return _measure_and_choose(path, aim, weights, numbers, whole, own, measurements, progress)


def _measure_and_choose(
    path: Path,
    aim: MixedBits,
    weights: Sequence[Weight],
    numbers: Mapping[str, Array],
    whole: int,
    measure: Measure,
    file: Path | None,
    progress: Progress | None,
) -> Recipe:
    kept = Measurements(file, f"{fingerprint(path)} {getattr(measure, 'key', 'another measure')}")
    options = {}
    for weight in weights:
        alternatives = [Option(bits=PLAIN, size=plain_bytes(weight), noise=0.0)]
        for bits in BITS:
            alone = kept.get(f"{weight.key} {bits}", lambda: measure(_Palettized({weight.name: bits}, numbers)))  # noqa: B023 - called at once
            alternatives.append(Option(bits=bits, size=palettized_bytes(weight, bits), noise=10 ** (-alone / 10)))
        options[weight.name] = alternatives
        if progress is not None:
            progress(f"measured {weight.name}", weight.place + 1, len(weights))

    def together(chosen: Mapping[str, Option]) -> float:
        bits = {name: option.bits for name, option in chosen.items() if option.bits != PLAIN}
        key = hashlib.sha256(json.dumps([f"{weight.key} {bits.get(weight.name, PLAIN)}" for weight in weights]).encode()).hexdigest()
        return kept.get(f"together {key[:32]}", lambda: measure(_Palettized(bits, numbers)))

    target = aim.target_bytes
    chosen = _smallest_above_psnr(aim.min_psnr or 0.0, options, together) if target is None else _best_within_size(target, options, whole)
    return Recipe(
        entries=tuple(RecipeEntry(name=weight.name, digest=weight.digest, bits=chosen[weight.name].bits) for weight in weights),
        weight_bytes=total_bytes(whole, {weight: chosen[weight.name].bits for weight in weights}),
        psnr=together(chosen),
    )


def _check_reachable(aim: MixedBits, weights: Sequence[Weight], whole: int) -> None:
    """Check the size before anything is measured."""
    smallest = total_bytes(whole, {weight: min(BITS) for weight in weights})
    if aim.target_bytes is not None and aim.target_bytes < smallest:
        raise ConfigError(
            f"target_bytes must be at least {smallest:,} of {whole:,}, with {len(weights)} weights at 1 bit and those of under "
            f"{aim.min_elements:,} numbers as they are, got {aim.target_bytes:,}; choose at least that"
        )


def _best_within_size(target: int, options: Mapping[str, Sequence[Option]], whole: int) -> dict[str, Option]:
    """Return the choice with the least noise that fits."""
    chosen = {name: alternatives[0] for name, alternatives in options.items()}
    size = total_bytes(whole, {})
    for name, option in descent(options):
        if size <= target:
            break
        size -= chosen[name].size - option.size
        chosen[name] = option
    return spend_spare_bytes(chosen, options, target - size)


def _smallest_above_psnr(
    aim: float, options: Mapping[str, Sequence[Option]], together: Callable[[Mapping[str, Option]], float]
) -> dict[str, Option]:
    """Return the smallest choice whose output is good enough, by bisection over the steps, each measured as a whole."""
    choices = [{name: alternatives[0] for name, alternatives in options.items()}]
    choices.extend(_walk(choices[0], descent(options)))
    good, bad = 0, len(choices)
    while bad - good > 1:
        middle = (good + bad) // 2
        if together(choices[middle]) >= aim:
            good = middle
        else:
            bad = middle
    if good == 0 and len(choices) > 1:
        raise ConfigError(
            f"min_psnr must be at most {together(choices[1]):.1f} dB, its value after the gentlest step of all, got {aim:g}; "
            f"choose a lower one, or leave the model uncompressed"
        )
    return choices[good]


def _walk(start: Mapping[str, Option], steps: Sequence[tuple[str, Option]]) -> Iterator[dict[str, Option]]:
    current = dict(start)
    for name, option in steps:
        current = {**current, name: option}
        yield current


class _Palettized(Mapping[str, "Array"]):
    """Weights restored from palettes, each computed when read, so that memory need not hold a U-Net's weights twice."""

    def __init__(self, bits: Mapping[str, int], numbers: Mapping[str, Array]) -> None:
        self._bits = bits
        self._numbers = numbers

    def __getitem__(self, name: str) -> Array:
        return palettized_values(self._numbers[name], self._bits[name])

    def __contains__(self, name: object) -> bool:
        return name in self._bits

    def __iter__(self) -> Iterator[str]:
        return iter(self._bits)

    def __len__(self) -> int:
        return len(self._bits)
