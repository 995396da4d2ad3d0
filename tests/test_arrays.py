"""The array contract's one check."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdrt.arrays import TensorSpec, check_array, check_arrays, check_finite
from sdrt.errors import ArrayContractError

SPEC = TensorSpec("sample", "float32", (None, 4, frozenset({8, 16})))


@given(st.tuples(st.integers(0, 5), st.integers(3, 5), st.integers(7, 17)), st.sampled_from(["float32", "float64", "int32"]))
def test_a_spec_admits_exactly_its_shapes_and_dtype(shape: tuple[int, int, int], dtype: str) -> None:
    assert SPEC.admits(np.zeros(shape, dtype)) == (shape[1] == 4 and shape[2] in (8, 16) and dtype == "float32")


def test_another_rank_is_not_admitted() -> None:
    assert not SPEC.admits(np.zeros((1, 4, 8, 1), np.float32))


def test_the_message_names_owner_array_expected_and_got() -> None:
    with pytest.raises(ArrayContractError, match=r"^unet input: expected sample float32\[\*,4,8\|16\], got int32\[1,4,9\]$"):
        check_array("unet input", SPEC, np.zeros((1, 4, 9), np.int32))


def test_what_is_no_array_is_named() -> None:
    with pytest.raises(ArrayContractError, match=r"got list; pass a numpy array"):
        check_array("unet input", SPEC, [1.0])


def test_missing_and_unknown_arrays_are_named() -> None:
    good = np.zeros((1, 4, 8), np.float32)
    check_arrays("unet input", (SPEC,), {"sample": good})
    with pytest.raises(ArrayContractError, match=r"unet input: missing sample"):
        check_arrays("unet input", (SPEC,), {})
    with pytest.raises(ArrayContractError, match=r"unet input: does not take mask"):
        check_arrays("unet input", (SPEC,), {"sample": good, "mask": good})


def test_optional_arrays_come_together_or_not_at_all() -> None:
    """Each is checked like any other once they are there; a part of them is refused, and so is another name beside them."""
    x, y, z = np.zeros((1, 4, 8), np.float32), np.zeros(2, np.float32), np.zeros(3, np.float32)
    optional = (TensorSpec("y", "float32", (2,)), TensorSpec("z", "float32", (3,)))
    check_arrays("unet input", (SPEC,), {"sample": x}, optional)
    check_arrays("unet input", (SPEC,), {"sample": x, "z": z, "y": y}, optional)
    with pytest.raises(ArrayContractError, match=r"^unet input: missing z; the 2 optional arrays come together or not at all$"):
        check_arrays("unet input", (SPEC,), {"sample": x, "y": y}, optional)
    with pytest.raises(ArrayContractError, match=r"expected z float32\[3\], got float32\[2\]"):
        check_arrays("unet input", (SPEC,), {"sample": x, "y": y, "z": y}, optional)
    with pytest.raises(ArrayContractError, match=r"missing sample; expected sample"):
        check_arrays("unet input", (SPEC,), {"y": y, "z": z}, optional)
    with pytest.raises(ArrayContractError, match=r"does not take mask; expected sample .*, y float32\[2\], z"):
        check_arrays("unet input", (SPEC,), {"sample": x, "y": y, "z": z, "mask": x}, optional)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_counted(bad: float) -> None:
    x = np.zeros((3, 3), np.float32)
    x[1, 1] = bad
    with pytest.raises(ArrayContractError, match=r"vae output: image holds 1 values of 9 that are NaN or infinite"):
        check_finite("vae output", "image", x)


def test_finite_values_whose_sum_overflows_pass() -> None:
    check_finite("vae output", "image", np.full(8, np.finfo(np.float64).max))
