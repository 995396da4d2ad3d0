"""The options of the backend and of a program by kind, and arrays that only a strict numpy would stumble over."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdrt.arrays import TensorSpec
from sdrt.backends import BackendOptions
from sdrt.backends.coreml import MLProgram
from sdrt.backends.coreml.adapters import to_package_layout
from sdrt.backends.coreml.options import CoreMLOptions
from sdrt.backends.coreml.predicting import cast_inputs, cast_output
from sdrt.errors import ArrayContractError, ConfigError
from sdrt.models.mlpackage.features import Feature


@pytest.mark.parametrize(
    ("own", "named"),
    [
        ({"compute_unit": "GPU"}, "compute_unit must be 'ALL' or 'CPU_ONLY' or 'CPU_AND_GPU' or 'CPU_AND_NE', got 'GPU'"),
        ({"compute_unit": 3}, "compute_unit must be 'ALL' or .*, got 3"),
        ({"precision": ["float32"]}, "precision must be 'float32' or 'float16', or null, got"),
        ({"on_load": "print"}, "on_load must be a function, or null, got 'print'"),
    ],
)
def test_values_of_other_kinds_are_refused(own: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        CoreMLOptions.read(BackendOptions(extra=own))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"threads": "2"}, "threads must be a whole number of at least 1, or null, got '2'"),
        ({"threads": 10**6}, "threads must be at most 1024, got 1000000"),
        ({"keep_weights": -1}, "keep_weights must be a whole number of at least 0, or null, got -1"),
        ({"precision": 16}, "precision must be 'float32' or 'float16', got 16"),
        ({"function": 3}, "function must be a Unicode string of .*, or null, got 3"),
        ({"fuse": "no"}, "fuse must be true or false, got 'no'"),
    ],
)
def test_a_program_refuses_options_before_it_reads_a_file(tmp_path: Path, options: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        MLProgram(tmp_path / "none.mlpackage", **options)


HALF = Feature(name="x", kind="array", dtype="float16", shape=(3,))


class Failing:
    def __array__(self, *_: Any, **__: Any) -> Any:
        raise KeyError("no array")


@pytest.mark.parametrize("inputs", [3, None, [1.0], {"x": Failing()}, {"x": object()}, {"x": "abc"}, {3: 1}])
def test_inputs_of_other_kinds_are_refused(inputs: Any) -> None:
    with pytest.raises(ArrayContractError):
        cast_inputs("model", (HALF,), inputs)


def test_values_beyond_float16_are_rounded_however_strict_numpy_is() -> None:
    values = np.array([1e-9, 1e9, 1.0], np.float32)
    with np.errstate(all="raise"), warnings.catch_warnings():
        warnings.simplefilter("error")
        packed = to_package_layout(TensorSpec("x", "float32", (3,)), HALF, values)
        assert packed.tolist() == [0.0, np.inf, 1.0]
        assert cast_inputs("model", (HALF,), {"x": values.astype(np.float64) * 1e40})["x"][1] == np.inf
        assert cast_output(values, "float16", "float16").tolist() == [0.0, np.inf, 1.0]
