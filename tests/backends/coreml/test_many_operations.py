"""A program of thousands of operations opens in time that grows with their number, however they use each other's values."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdrt.backends.coreml import MLProgram
from sdrt.backends.coreml.step import OperationStep

HEAD = 'program(1.0)\n[buildInfo = dict<tensor<string, []>, tensor<string, []>>({{"coremlc-version", "3402.4.1"}})]\n{\n'


def add(name: str, x: str) -> str:
    return f'        tensor<fp32, [2]> {name} = add(x = {x}, y = x)[name = tensor<string, []>("{name}")];\n'


@pytest.mark.parametrize("chained", [True, False])
def test_thousands_of_additions_of_one_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chained: bool) -> None:
    """To take a use away, none of the others is compared with it: 4,000 took 16 seconds so."""
    count = 3000
    body = "".join(add(f"a{i}", f"a{i - 1}" if i and chained else "x") for i in range(count))
    (tmp_path / "many.mlmodelc").mkdir()
    (tmp_path / "many.mlmodelc" / "model.mil").write_text(
        f"{HEAD}    func main<ios16>(tensor<fp32, [2]> x) {{\n{body}        }} -> (a{count - 1});\n}}", encoding="utf-8"
    )

    def refuse(self: Any, other: Any) -> bool:
        raise AssertionError("computations were compared")

    monkeypatch.setattr(OperationStep, "__eq__", refuse)
    with MLProgram(tmp_path / "many.mlmodelc") as model:
        # what nobody uses is not computed
        assert model.step_count == (count if chained else 1)
        result = model.predict({"x": np.ones(2)})[f"a{count - 1}"]
    np.testing.assert_array_equal(result, [count + 1] * 2 if chained else [2, 2])
