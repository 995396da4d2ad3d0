"""The stream `torch-scalar` compared with torch itself without its vector code."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import sdrt.rng

CASES = [(dtype, size) for dtype in ("float32", "float64", "float16", "bfloat16") for size in (7, 16, 33, 16_384, 200_003)]

DRAW = """
import sys
import numpy as np, torch
assert torch.backends.cpu.get_cpu_capability() == "DEFAULT"
arrays = {}
for case in sys.argv[2:]:
    dtype, size = case.split("-")
    generator = torch.Generator().manual_seed(int(size))
    drawn = [torch.randn(n, dtype=getattr(torch, dtype), generator=generator) for n in (int(size), 5, 20)]
    arrays[case] = torch.cat(drawn).double().numpy()
np.savez(sys.argv[1], **arrays)
"""


@pytest.fixture(scope="module")
def scalar_torch(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    file: Path = tmp_path_factory.mktemp("scalar") / "normals.npz"
    cases = [f"{dtype}-{size}" for dtype, size in CASES]
    subprocess.run([sys.executable, "-c", DRAW, str(file), *cases], env={**os.environ, "ATEN_CPU_CAPABILITY": "default"}, check=True)
    with np.load(file) as arrays:
        return dict(arrays)


@pytest.mark.parametrize(("dtype", "size"), CASES)
def test_the_bound_that_the_documentation_states(dtype: str, size: int, scalar_torch: dict[str, np.ndarray]) -> None:
    expected = scalar_torch[f"{dtype}-{size}"]
    noise = sdrt.rng.stream("torch-scalar", size)
    found = np.concatenate([noise.normal(n, dtype) for n in (size, 5, 20)]).astype(np.float64)
    differ = found != expected
    if dtype == "float64" or size < 16:  # no float32 kernel is used, except for the last 20 values
        assert not differ[: size + 5].any()
    else:
        # Measured 1.5 % on glibc: log, cos and sin each round differently in up to 1 % of their values, and the products hide some of it.
        assert differ.mean() < (0.025 if dtype == "float32" and size > 1000 else 0.06 if dtype == "float32" else 2e-5)
        # One rounding each of the logarithm (halved by its square root), the angle function and the product: 3 units, plus 1 of slack.
        unit = np.spacing(np.abs(expected).astype(np.float16 if dtype == "float16" else np.float32)).astype(np.float64)
        unit = unit * 2.0**16 if dtype == "bfloat16" else unit
        assert np.all(np.abs(found - expected) <= (4 if dtype == "float32" else 1) * unit)


def test_the_two_builds_differ_where_the_documentation_says() -> None:
    """Otherwise the test above could not tell them apart: about 38 % of float32 values differ."""
    scalar: np.ndarray
    vector: np.ndarray
    scalar, vector = (sdrt.rng.stream(name, 3).normal(100_000) for name in ("torch-scalar", "torch"))
    assert 0.3 < np.mean(scalar != vector) < 0.45
    np.testing.assert_allclose(scalar, vector, rtol=0, atol=2.5e-6)  # 2.3e-6 measured between torch's own builds
    for dtype, size in (("float64", 1000), ("float32", 15)):
        scalar, vector = (sdrt.rng.stream(name, 3).normal(size, dtype) for name in ("torch-scalar", "torch"))
        np.testing.assert_array_equal(scalar, vector)
