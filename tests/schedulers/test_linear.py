"""The sum that most steps are."""

import numpy as np

from sdrt.schedulers.steps.linear import linear_combination


def test_a_linear_combination_leaves_its_operands_and_skips_what_has_no_weight() -> None:
    x, m, idle = np.array([1.0, 2.0]), np.array([3.0, 5.0]), np.array([np.nan, np.inf])
    np.testing.assert_array_equal(linear_combination((2.0, 0.0, 0.5), (x, idle, m)), [3.5, 6.5])
    np.testing.assert_array_equal(linear_combination((0.0, 0.5), (idle, m)), [1.5, 2.5])
    np.testing.assert_array_equal(x, [1.0, 2.0])
    np.testing.assert_array_equal(m, [3.0, 5.0])


def test_a_linear_combination_keeps_the_dtype_and_shares_no_memory() -> None:
    x = np.array([1.0, 2.0], np.float32)
    for weights in ((1.0,), (0.0,)):
        found = linear_combination(weights, (x,))
        assert found.dtype == np.float32
        assert not np.shares_memory(found, x)
