"""The exact product: Python's integers give the same bytes, and so does any order of the terms."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdrt.arrays import Float
from sdrt.backends.numpy.scratch import Scratch
from sdrt.exact import product
from sdrt.exact.product import accumulate, multiply, round_below, round_left, round_right, runs

F32_UNIT = 2.0**-24


def exact(x: Float, weight: Float) -> Float:
    """``multiply``, with new memory for the result."""
    out = np.full((len(x), weight.shape[1]), np.nan, np.float32)
    multiply(x, weight, out, Scratch())
    return out


def by_integers(x: Float, weight: Float) -> Float:
    """The same by Python's integers: one sum a run without rounding, which must fit float64, then the runs one after the other."""
    left = np.empty(x.shape)
    round_left(x, left)
    out = np.empty((len(x), weight.shape[1]), np.float32)
    for row, column in np.ndindex(out.shape):
        total = 0.0
        for run in runs(x.shape[1]):
            terms = zip(left[row, run].tolist(), weight[run, column].tolist(), strict=True)
            part = sum((Fraction(a) * Fraction(b) for a, b in terms), Fraction(0))
            assert Fraction(float(part)) == part, "a sum needs more than 53 bits"
            total += float(part)
        out[row, column] = total
    return out


def numbers(seed: int, shape: tuple[int, int], spread: float, kind: str) -> Float:
    """float32 numbers: normal, as large as can be with one sign, or of sizes that differ by many powers of two."""
    rng = np.random.default_rng(seed)
    match kind:
        case "normal":
            x = rng.standard_normal(shape)
        case "one sign":
            x = np.full(shape, 2.0 - 2.0**-23)
        case _:
            x = rng.standard_normal(shape) * np.exp2(rng.integers(-30, 30, shape))
    return (x * spread).astype(np.float32)


KINDS = st.sampled_from(["normal", "one sign", "spread"])


@given(
    rows=st.integers(1, 2),
    depth=st.integers(1, 60) | st.sampled_from([319, 640, 641, 700]),
    columns=st.integers(1, 2),
    seed=st.integers(0, 2**16),
    scales=st.tuples(st.integers(-60, 50), st.integers(-60, 50)),
    kinds=st.tuples(KINDS, KINDS),
)
def test_the_product_is_that_of_integers(
    rows: int, depth: int, columns: int, seed: int, scales: tuple[int, int], kinds: tuple[str, str]
) -> None:
    x = numbers(seed, (rows, depth), 2.0 ** scales[0], kinds[0])
    weight = round_right(numbers(seed + 1, (depth, columns), 2.0 ** scales[1], kinds[1]))
    with np.errstate(over="ignore"):
        assert exact(x, weight).tobytes() == by_integers(x, weight).tobytes()


@pytest.mark.parametrize("kind", ["normal", "one sign"])
@pytest.mark.parametrize("depth", [640, 1280, 2880])
def test_a_permutation_of_a_runs_terms_changes_nothing(depth: int, kind: str) -> None:
    """As another BLAS, thread count or processor would add them."""
    rng = np.random.default_rng(depth)
    left = np.empty((7, depth))
    round_left(numbers(0, (7, depth), 1.0, kind), left)
    weight = round_right(numbers(1, (depth, 9), 1.0, kind)).astype(np.float64)
    first, second = np.empty((7, 9)), np.empty((7, 9))
    accumulate(left, weight, first, Scratch())
    order = np.concatenate([run.start + rng.permutation(run.stop - run.start) for run in runs(depth)])
    accumulate(left[:, order], weight[order], second, Scratch())
    assert first.tobytes() == second.tobytes()


def test_one_bit_more_is_one_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison with integers notices a grid that is half as wide as the proof allows."""
    monkeypatch.setattr(product, "_SUM_BITS", 54)
    rng = np.random.default_rng(0)
    # the largest numbers of one sign, the low bits random: sums reach the bound, and need their last bit
    x, weight = ((2.0 - rng.integers(1, 2**20, shape) * 2.0**-23).astype(np.float32) for shape in ((1, 64), (64, 20)))
    with pytest.raises(AssertionError, match="more than 53 bits"):
        by_integers(x, round_right(weight))


def test_rows_and_columns_stand_alone() -> None:
    """A part of a product is the product of the parts, wherever it is cut, and whichever way the weight lies in memory."""
    x, weight = numbers(0, (11, 700), 1.0, "spread"), numbers(1, (700, 800), 1.0, "spread")
    packed = round_right(weight)
    whole = exact(x, packed)
    assert exact(x[3:5], packed[:, 390:777]).tobytes() == whole[3:5, 390:777].tobytes()
    assert round_right(weight[:, 5:9]).tobytes() == packed[:, 5:9].tobytes()
    assert exact(x, np.asfortranarray(packed)).tobytes() == whole.tobytes()


def test_rounding_keeps_what_fits() -> None:
    """A weight from float16 and a row of small integers are kept to the last bit; so is a column of zeros."""
    weight = np.random.default_rng(0).standard_normal((64, 8)).astype(np.float16).astype(np.float32)
    weight[:, 3] = 0
    assert round_right(weight).tobytes() == weight.tobytes()
    x, out = np.arange(-40.0, 40.0, dtype=np.float32).reshape(2, 40), np.empty((2, 40))
    round_left(x, out)
    assert np.array_equal(out, x)
    round_below(40.0, x, out)
    assert np.array_equal(out, x)


@pytest.mark.parametrize("depth", [64, 320, 2880])
def test_the_error_is_about_that_of_float32(depth: int) -> None:
    """Root mean square, against float64: at most twice that of the float32 product, whose own grows with the depth."""
    x, weight = numbers(0, (64, depth), 1.0, "normal"), numbers(1, (depth, 64), 1.0, "normal")
    truth = x.astype(np.float64) @ weight.astype(np.float64)
    own, theirs = (float(np.sqrt(np.square(found - truth).mean())) for found in (exact(x, round_right(weight)), x @ weight))
    assert own < max(2 * theirs, F32_UNIT * np.abs(truth).max())
