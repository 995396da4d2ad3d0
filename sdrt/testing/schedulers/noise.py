"""Mistakes with fresh noise: how much of it a port's step has, read off the difference from a step without any."""

from collections.abc import Callable

import numpy as np

from sdrt.arrays import F64
from sdrt.testing.explain import Hypothesis
from sdrt.testing.schedulers.items import Item
from sdrt.testing.schedulers.paths import Transcript, retrace

__all__ = ["NOISE_MISTAKES"]


def _quiet(item: Item) -> F64 | None:
    """Return the original's result of a call without noise; None for other stages, and where noise is a Brownian path's."""
    if item.stage != "step" or item.path.brownian:
        return None
    if "quiet" not in item.path.cache:
        silent = [np.zeros_like(noise) for noise in item.path.noises]
        item.path.cache["quiet"] = retrace(item.path, item.path.scheduler, noises=silent)
    quiet: Transcript | None = item.path.cache["quiet"]
    return None if quiet is None or not len(quiet.results) else quiet.results[item.call]


def _noise(item: Item) -> F64:
    return item.path.noises[item.call].astype(np.float64)


def _weight(item: Item, quiet: F64) -> F64:
    """Return the weight of noise in the original, value by value."""
    weight: F64 = (item.wanted - quiet) / _noise(item)
    return weight


def _of_drawing_calls(predict: Callable[[F64, F64, F64], F64]) -> Callable[[Item], bool | None]:
    """Return the prediction of a step from (the result without noise, the noise, its weight), for the calls that draw."""

    def predicts(item: Item) -> bool | None:
        quiet = _quiet(item)
        if quiet is None or not item.path.draws[item.call]:
            return None
        return item.matches(predict(quiet, _noise(item), _weight(item, quiet)))

    return predicts


def _share(item: Item) -> float | None:
    """Return the weight of noise in the port's result, if the result is the original's but for that; else None."""
    quiet = _quiet(item)
    if quiet is None or item.got.shape != quiet.shape:
        return None
    noise, rest = _noise(item), item.got - quiet
    share = float((rest * noise).sum() / (noise * noise).sum())
    return share if float(np.abs(rest - share * noise).max()) <= item.bound else None


def _is_misplaced(item: Item) -> bool | None:
    """Whether a call has noise that should have none, or has none that should have some."""
    share, quiet = _share(item), _quiet(item)
    if share is None or quiet is None or item.is_right:
        return None
    return not item.path.draws[item.call] or item.matches(quiet)


def _has_other_weight(item: Item) -> bool | None:
    share = _share(item)
    return None if share is None or not item.path.draws[item.call] or item.is_right else True


NOISE_MISTAKES: list[Hypothesis[Item]] = [
    Hypothesis("no_noise", "no noise is added", _of_drawing_calls(lambda quiet, *_: quiet)),
    Hypothesis("noise_at_the_wrong_step", "noise is added where there is none, or left out where there is some", _is_misplaced),
    Hypothesis(
        "noise_of_the_wrong_size",
        "noise has the variance for its deviation",
        _of_drawing_calls(lambda quiet, noise, weight: quiet + weight * weight * noise),
    ),
    Hypothesis(
        "noise_of_the_wrong_size",
        "noise has the root of the deviation for its deviation",
        _of_drawing_calls(lambda quiet, noise, weight: quiet + np.sign(weight) * np.sqrt(np.abs(weight)) * noise),
    ),
    Hypothesis(
        "noise_of_the_wrong_size",
        "noise has the weight 1",
        _of_drawing_calls(lambda quiet, noise, _: quiet + noise),
    ),
    Hypothesis("noise_of_the_wrong_size", "noise has another weight", _has_other_weight),
]
