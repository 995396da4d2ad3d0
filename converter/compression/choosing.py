"""Choose the number of bits for each weight, taking the steps of least noise first.

While they are small, the errors of single layers add up in power, to a good approximation. Each weight therefore has its own share of
noise, and the best choice of a given size takes the steps with the least noise for each byte saved (Shoham & Gersho 1988, Efficient bit
allocation).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

__all__ = ["Option", "descent", "spend_spare_bytes"]


@dataclass(frozen=True, kw_only=True)
class Option:
    """One way to store one weight.

    Parameters
    ----------
    bits : int
    size : int
        In bytes.
    noise : float
        The noise power that it alone causes at the output, whose peak is 1.
    """

    bits: int
    size: int
    noise: float


def descent(options: Mapping[str, Sequence[Option]]) -> list[tuple[str, Option]]:
    """Order the steps from every weight's largest option to its smallest, by noise for each byte saved.

    Parameters
    ----------
    options : mapping
        The options of each weight, by its name.

    Returns
    -------
    list of a weight's name and its next option; options that another one beats in both size and noise are left out
    """
    steps = []
    for name, choices in options.items():
        hull = _lower_hull(choices)
        for before, after in pairwise(hull):
            steps.append(((after.noise - before.noise) / (before.size - after.size), name, after))
    # The slopes of one weight increase, so its own steps stay in order.
    return [(name, option) for _, name, option in sorted(steps, key=lambda step: step[0])]


def spend_spare_bytes(chosen: Mapping[str, Option], options: Mapping[str, Sequence[Option]], spare: int) -> dict[str, Option]:
    """Spend ``spare`` bytes on a choice, each time on the option that fits and removes the most noise."""
    result = dict(chosen)
    while True:
        better = [
            (result[name].noise - option.noise, name, option)
            for name, choices in options.items()
            for option in choices
            if option.noise < result[name].noise and option.size - result[name].size <= spare
        ]
        if not better:
            return result
        _, name, option = max(better, key=lambda step: (step[0], -step[2].size))
        spare -= option.size - result[name].size
        result[name] = option


def _lower_hull(options: Sequence[Option]) -> list[Option]:
    """Return the options from largest to smallest whose slopes increase."""
    hull: list[Option] = []
    for option in sorted(options, key=lambda option: (-option.size, option.noise)):
        if hull and hull[-1].size == option.size:
            continue
        while len(hull) > 1 and _slope(hull[-2], hull[-1]) >= _slope(hull[-2], option):
            hull.pop()
        hull.append(option)
    return hull


def _slope(before: Option, after: Option) -> float:
    return (after.noise - before.noise) / (before.size - after.size)
