"""Which weight gets how many bits: the gentlest steps first.

Errors of single layers add up in power, to a good approximation while they are small: so each is worth its share of noise, and the best set
of a given size takes the steps with the least noise for a byte saved (Shoham & Gersho 1988, Efficient bit allocation).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

__all__ = ["Option", "descent", "filled_up"]


@dataclass(frozen=True, kw_only=True)
class Option:
    """One way to store one weight.

    Parameters
    ----------
    bits : int
    size : int
        Bytes.
    noise : float
        Noise power at the output that it makes alone, where the output's peak is 1.
    """

    bits: int
    size: int
    noise: float


def descent(options: Mapping[str, Sequence[Option]]) -> list[tuple[str, Option]]:
    """Steps from every weight's largest option to its smallest, in the order in which to take them.

    Parameters
    ----------
    options : mapping
        The options of each weight by its name.

    Returns
    -------
    list of a weight's name and the option that it then has; options that another one beats in both are left out
    """
    steps = []
    for name, given in options.items():
        hull = _lower_hull(given)
        for before, after in pairwise(hull):
            steps.append(((after.noise - before.noise) / (before.size - after.size), name, after))
    # slopes of one weight rise, so that its own steps stay in order
    return [(name, option) for _, name, option in sorted(steps, key=lambda step: step[0])]


def filled_up(chosen: Mapping[str, Option], options: Mapping[str, Sequence[Option]], spare: int) -> dict[str, Option]:
    """The choice with ``spare`` bytes spent, each time on what takes away the most noise of all that fits."""
    found = dict(chosen)
    while True:
        better = [
            (found[name].noise - option.noise, name, option)
            for name, given in options.items()
            for option in given
            if option.noise < found[name].noise and option.size - found[name].size <= spare
        ]
        if not better:
            return found
        _, name, option = max(better, key=lambda step: (step[0], -step[2].size))
        spare -= option.size - found[name].size
        found[name] = option


def _lower_hull(options: Sequence[Option]) -> list[Option]:
    """From the largest to the smallest, with slopes that rise."""
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
