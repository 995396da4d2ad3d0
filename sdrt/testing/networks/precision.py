"""Tell rounding from a mistake: rounding errors change where inputs change by a hair, those of a mistake stay."""

from collections.abc import Iterator

import numpy as np

from sdrt.arrays import F64, Array
from sdrt.testing.explain import Hypothesis
from sdrt.testing.networks.bench import Bench
from sdrt.testing.networks.judge import Outputs
from sdrt.testing.networks.trials import Trial

__all__ = ["rounding"]

# Inputs are changed by up to this share: float32 hardly rounds it away, float16 rounds a quarter of the numbers the other way.
_HAIR = 2.0**-12
# Of its size, how much an error has to change to be one of rounding; a mistake's changes by about a hair.
_RESTLESS = 0.1
# Float32's own rounding is far below this, of the deviation of what a network gives.
_FLOAT32 = 3e-5
_BFLOAT16 = 4e-3


def rounding(bench: Bench, plain: Trial) -> Iterator[Hypothesis[Trial]]:
    """Yield that a network computes in less than float32, if its errors look like that."""
    size = _deviation(_errors(plain.found, plain.wanted)) / _deviation(_flat(plain.wanted))
    if size < _FLOAT32 or not np.isfinite(size):
        return
    stored = next((name for name, bits in (("bfloat16", 8), ("float16", 11)) if _is_rounded(plain.found, bits)), None)
    if stored is None and not _is_restless(bench, plain):
        return
    name = stored or ("bfloat16" if size > _BFLOAT16 else "float16")
    how = "outputs are numbers of that type" if stored else "errors change with the last bits of the inputs"
    text = f"{name} inside: {how}, and have a deviation of {size:.1g} of the outputs'"
    yield Hypothesis(f"{name}_inside", text, lambda _: True)


def _is_restless(bench: Bench, plain: Trial) -> bool:
    random = np.random.RandomState(0)
    inputs: dict[str, Array] = {}
    for name, x in plain.inputs.items():
        nudged = x if x.dtype == np.int32 or name == "timestep" else x * (1.0 + _HAIR * random.random_sample(x.shape))
        inputs[name] = nudged if nudged is x else nudged.astype(np.float32).astype(np.float64)
    before = _errors(plain.found, plain.wanted)
    after = _errors(bench.examinee.run(inputs), bench.judge.run(inputs))
    return _deviation(after - before) > _RESTLESS * _deviation(before)


def _is_rounded(outputs: Outputs, bits: int) -> bool:
    values = _flat(outputs)
    scaled = np.ldexp(np.frexp(values)[0], bits)
    return bool(np.array_equal(scaled, np.round(scaled)))


def _errors(found: Outputs, wanted: Outputs) -> F64:
    return _flat({name: found[name] for name in wanted if name in found}) - _flat({name: x for name, x in wanted.items() if name in found})


def _flat(outputs: Outputs) -> F64:
    return np.concatenate([x.astype(np.float64).ravel() for x in outputs.values()])


def _deviation(x: F64) -> float:
    return float(np.sqrt(np.mean(np.square(x))))
