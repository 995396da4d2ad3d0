"""Check a noise stream of one's own."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sdrt.arrays import F64
from sdrt.errors import SdrtError
from sdrt.rng import canonical_name
from sdrt.rng import stream as make_stream
from sdrt.testing.explain import Hypothesis, explain
from sdrt.testing.fault import Fault
from sdrt.testing.port_warnings import ignoring_warnings
from sdrt.testing.streams.mistakes import StreamCase, hypotheses_of
from sdrt.testing.streams.port import StreamPort, as_float64

__all__ = ["check_stream"]

# Small seeds, those around 32 and 64 bits, and one whose high half alone is set.
SEEDS = (0, 1, 93, 2**31 + 5, 2**32 - 1, 2**32 + 93, 7 * 2**40, 2**63 + 12345)

# The shapes of the draws of one seed, one after another. Below 16 values, around multiples of 16, those of latents and of batches.
DRAWS: tuple[tuple[tuple[int, ...], ...], ...] = (
    ((4, 8, 8), (4, 8, 8)),
    ((1, 4, 64, 64),),
    ((2, 4, 8, 6), (2, 4, 8, 6)),
    ((16,), (16,)),
    ((17,), (5,), (32,)),
    ((3, 5, 7), (3, 5, 7)),
    ((1, 40), (40,)),
    ((1,), (1,), (20,)),
    ((15,), (15,)),
    ((3, 4, 32, 16),),
)

# How far float32 normals may lie apart where both sides are right: libms differ in the last bits of log, cos and sin, and a GPU has
# approximations of its own: stable-diffusion-webui's numbers for it are up to 3e-5 from those of the device.
TOLERANCE = {"generator": 1e-6, "libstdc++": 1e-6, "numpy": 1e-6, "nv": 1e-4, "torch": 4e-6, "torch-scalar": 4e-6}


@dataclass(frozen=True)
class _Drawn:
    """What a port drew in place of the original's numbers."""

    case: StreamCase
    values: F64
    wanted: F64


@ignoring_warnings
def check_stream(stream: Any, like: str = "torch", *, seeds: Sequence[int] | None = None, tolerance: float | None = None) -> list[Fault]:
    """Compare a noise stream with the stream of sdrt that it should be.

    Parameters
    ----------
    stream : callable, or stream
        A function of (seed, shape) that draws from the start of a seed; or a class or function of a seed that makes an object with
        ``normal(shape)``, as sdrt's streams have it, of which continued draws are checked too; or such an object, which is drawn from once,
        at its ``seed``. Arrays may be numpy's, torch's or lists of floats.
    like : str
        One of `sdrt.rng.names`.
    seeds : sequence of int, optional
        By default small ones and large ones; those outside the original's range are left out.
    tolerance : float, optional
        How far a normal may lie from the original's; by default what libms may differ by.

    Returns
    -------
    list of Fault
        Empty if all is well.

    Raises
    ------
    ConfigError : something that is no stream, or an unknown ``like``

    >>> import sdrt
    >>> check_stream(lambda seed, shape: sdrt.rng.stream("torch", seed).normal(shape))
    []
    """
    name = canonical_name(like)
    port = StreamPort(stream)
    bound = TOLERANCE[name] if tolerance is None else tolerance
    chosen = [port.seed] if port.seed is not None else _within_range(name, SEEDS if seeds is None else seeds)
    faults: list[Fault] = []
    drawn: list[_Drawn] = []
    for seed in chosen:
        plans = DRAWS if port.continues else [(shape,) for draws in DRAWS for shape in draws[:1]]
        for plan in [sum(DRAWS, ())] if port.seed is not None else plans:
            result = _draw(port, name, seed, plan)
            if isinstance(result, Fault):
                faults += [result] * (result.kind not in {each.kind for each in faults})
            else:
                drawn += result
    if drawn and port.seed is None:
        faults += _repeated(port, drawn[0].case)
    return faults + _explained(name, drawn, bound)


def _within_range(name: str, seeds: Sequence[int]) -> list[int]:
    possible = []
    for seed in seeds:
        try:
            make_stream(name, seed)
        except SdrtError:
            continue
        possible.append(seed)
    return possible


def _draw(port: StreamPort, name: str, seed: int, plan: tuple[tuple[int, ...], ...]) -> list[_Drawn] | Fault:
    """Draw from the port and from the original, one shape after another."""
    original = make_stream(name, seed)
    drawn = []
    try:
        draw = port.open(seed)
        for k, shape in enumerate(plan):
            case = StreamCase(name, seed, plan[:k], shape)
            result, wanted = draw(shape), original.normal(shape).astype(np.float64)
            values = as_float64(result)
            if values is None:
                return Fault("wrong_dtype", f"{case}: the draw must be an array of floats, got {type(result).__name__}")
            if values.shape != shape:
                return Fault("wrong_shape", f"{case}: the draw must have that shape, got {values.shape}")
            if not np.isfinite(values).all():
                return Fault("not_finite", f"{case}: {int((~np.isfinite(values)).sum())} values are not finite")
            drawn.append(_Drawn(case, values, wanted))
    except Exception as error:  # noqa: BLE001  # whatever the port raises is what is reported
        return Fault("raises", f"{StreamCase(name, seed, (), plan[0])}: {type(error).__name__}: {error}")
    return drawn


def _repeated(port: StreamPort, case: StreamCase) -> list[Fault]:
    first, second = (as_float64(port.open(case.seed)(case.shape)) for _ in range(2))
    if first is not None and second is not None and np.array_equal(first, second):
        return []
    return [Fault("not_repeatable", f"{case}: the same seed drew other numbers the second time")]


def _explained(name: str, drawn: Sequence[_Drawn], bound: float) -> list[Fault]:
    def differs(each: _Drawn) -> bool:
        return bool(np.abs(each.values - each.wanted).max(initial=0) > bound)

    def describe(each: _Drawn) -> str:
        error = np.abs(each.values - each.wanted)
        at = np.unravel_index(int(np.argmax(error > bound)), error.shape)
        index = ", ".join(map(str, at))
        return f"{each.case}: value [{index}] must be {each.wanted[at]:.6g}, got {each.values[at]:.6g}"

    by_case = {each.case: each.values for each in drawn}
    hypotheses: list[Hypothesis[_Drawn]] = hypotheses_of(name, by_case, lambda each: each.case, lambda each: each.values, bound)
    wrong = {each.case for each in drawn if differs(each)}
    # what follows a wrong draw is wrong too, and says nothing more
    differing = [each for each in drawn if each.case in wrong and not wrong.intersection(each.case.before())]
    faults = explain(differing, [each for each in drawn if not differs(each)], hypotheses, describe)
    return [_not_normal(each, differing) for each in faults]


def _not_normal(fault: Fault, differing: Sequence[_Drawn]) -> Fault:
    """Say of unexplained numbers that they are no normals, if they are none."""
    values = np.concatenate([each.values.ravel() for each in differing])
    mean, deviation = float(values.mean()), float(values.std())
    error = 6 / math.sqrt(values.size)
    if fault.kind != "unexplained" or (abs(mean) < error and abs(deviation - 1) < error):
        return fault
    return Fault("not_normal", f"{values.size} values have the mean {mean:.3g} and the deviation {deviation:.3g}; {fault.message}")
