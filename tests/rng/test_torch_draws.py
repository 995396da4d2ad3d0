"""Other draws of a torch generator than normals: rand, randint, randperm."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sdrt.errors import ConfigError
from sdrt.rng.torch_scalar_stream import TorchScalarStream
from sdrt.rng.torch_stream import TorchStream

DTYPES = {"float32": torch.float32, "float64": torch.float64, "float16": torch.float16, "bfloat16": torch.bfloat16}
int64s = st.integers(-(2**63), 2**63 - 1)


def pair(seed: int) -> tuple[TorchStream, torch.Generator]:
    return TorchStream(seed), torch.Generator().manual_seed(seed)


def assert_at_the_same_place(ours: TorchStream, generator: torch.Generator) -> None:
    np.testing.assert_array_equal(ours.normal(3, "float64"), torch.randn(3, dtype=torch.float64, generator=generator).numpy())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 1000, 1_000_001])
def test_uniform_is_rand(size: int, dtype: str) -> None:
    ours, generator = pair(size)
    expected = torch.rand(size, dtype=DTYPES[dtype], generator=generator)
    found = ours.uniform(size, dtype)
    np.testing.assert_array_equal(found, (expected.float() if dtype == "bfloat16" else expected).numpy(), strict=True)
    assert size == 0 or (found.min() >= 0 and found.max() < 1)
    assert_at_the_same_place(ours, generator)


def test_a_narrow_uniform_that_rounds_up_to_1_is_0_as_in_torch() -> None:
    """A million bfloat16 values include thousands of them, so the trap is tested."""
    assert np.count_nonzero(TorchStream(0).uniform(1_000_000, "bfloat16") == 0) > 1000


@settings(max_examples=60)
@given(ends=st.lists(int64s, min_size=2, max_size=2, unique=True), seed=st.integers(0, 2**32 - 1), size=st.integers(0, 50))
def test_integers_are_randint_over_any_range(ends: list[int], seed: int, size: int) -> None:
    low, high = sorted(ends)
    ours, generator = pair(seed)
    np.testing.assert_array_equal(
        ours.integers(low, high, size), torch.randint(low, high, (size,), generator=generator).numpy(), strict=True
    )
    assert_at_the_same_place(ours, generator)


@pytest.mark.parametrize("span", [1, 2, 1000, 2**28 - 1, 2**28, 2**28 + 1, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1])
def test_integers_change_words_where_randint_does(span: int) -> None:
    ours, generator = pair(7)
    low = -min(span, 2**63)
    expected = torch.randint(low, low + span, (3, 40), generator=generator).numpy()
    np.testing.assert_array_equal(ours.integers(low, low + span, (3, 40)), expected, strict=True)
    assert_at_the_same_place(ours, generator)


@pytest.mark.parametrize(("low", "high"), [(0, 0), (3, 2), (0, 2**63), (-(2**63) - 1, 0)])
def test_bounds_that_randint_refuses_are_refused(low: int, high: int) -> None:
    with pytest.raises((RuntimeError, ValueError, OverflowError)):
        torch.randint(low, high, (1,))
    with pytest.raises(ConfigError, match=r"integers need|must be a whole number from -9223372036854775808 to 9223372036854775807"):
        TorchStream(0).integers(low, high, 1)


@pytest.mark.parametrize("n", [*range(20), 1000, 65_536, 2**20, 2**20 + 1, 2**20 + 2])
def test_permutation_is_randperm(n: int) -> None:
    ours, generator = pair(n)
    np.testing.assert_array_equal(ours.permutation(n), torch.randperm(n, generator=generator).numpy(), strict=True)
    assert_at_the_same_place(ours, generator)


@pytest.mark.slow
@pytest.mark.parametrize("n", [(2**32 - 1) // 20 - 1, (2**32 - 1) // 20])
def test_permutation_is_randperm_on_both_sides_of_its_change(n: int) -> None:
    """Needs 4 GB, and one or two minutes for each case."""
    ours, generator = pair(5)
    assert np.array_equal(ours.permutation(n), torch.randperm(n, generator=generator).numpy())
    assert_at_the_same_place(ours, generator)


def test_torch_scalar_draws_the_same_integers() -> None:
    np.testing.assert_array_equal(TorchScalarStream(3).permutation(50), TorchStream(3).permutation(50))
