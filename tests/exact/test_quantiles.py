"""Quantiles of rows against torch's."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from sdrt.exact.quantiles import row_quantiles
from tests.factories import normal


@given(st.floats(0, 1), st.integers(1, 300), st.integers(0, 100), st.sampled_from(["float32", "float64"]))
def test_quantiles_are_torchs_to_the_last_bits(ratio: float, count: int, seed: int, dtype: str) -> None:
    rows = normal(seed, 3, count, dtype=dtype)
    want = torch.quantile(torch.from_numpy(rows), ratio, dim=1).numpy()
    # a fused multiplication and addition of torch's
    np.testing.assert_allclose(row_quantiles(rows, ratio), want, rtol=0, atol=4 * np.finfo(dtype).eps * np.abs(rows).max())
