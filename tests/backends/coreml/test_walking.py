"""Looking into a program while it runs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sdrt.backends.coreml import MLProgram
from sdrt.errors import ArrayContractError, BackendError, ConfigError

Packages = Callable[..., tuple[Path, torch.nn.Module, dict[str, torch.Tensor]]]


def test_a_walk_hands_out_every_operation_in_order_and_ends_with_the_outputs(package: Packages) -> None:
    path, _, inputs = package("layers", "float16")
    for precision in ("float32", "float16"):
        model = MLProgram(path, precision=precision, fuse=False)
        walk, given = model.walk(inputs), []
        while True:
            try:
                given.append(next(walk))
            except StopIteration as end:
                outputs = end.value
                break
        computed = [each.name for each in model.operations() if each.type != "const"]
        assert [each.operation.name for each in given] == computed
        assert np.array_equal(outputs["out"], model.predict(inputs)["out"])
        assert outputs["out"].dtype == np.float32


def test_a_value_inside_is_what_the_layer_gives(package: Callable[..., Any]) -> None:
    path, module, inputs = package("layers")
    model = MLProgram(path, fuse=False)
    [conv] = [each.name for each in model.operations() if each.type == "conv"]
    assert np.abs(model.trace(inputs, [conv])[conv] - module.conv(inputs["x"]).numpy()).max() < 1e-5


def test_walks_of_two_precisions_go_side_by_side_and_do_not_disturb_each_other(package: Packages) -> None:
    path, _, inputs = package("layers", "float16")
    exact, rounded = (MLProgram(path, precision=precision, fuse=False) for precision in ("float32", "float16"))
    alone = [[given.values[0].copy() for given in model.walk(inputs)] for model in (exact, rounded)]
    with np.errstate(over="raise"):
        pairs = []
        for pair in zip(exact.walk(inputs), rounded.walk(inputs), strict=True):
            # what a step ignores inside, its caller does not
            assert np.geterr()["over"] == "raise"
            pairs.append(pair)
    for index, pair in enumerate(pairs):
        assert all(np.array_equal(given.values[0], values[index]) for given, values in zip(pair, alone, strict=True))
    assert not np.array_equal(alone[0][-1], alone[1][-1])


def test_fused_walks_hand_out_less_and_a_value_that_is_never_made_is_told(package: Packages) -> None:
    path, _, inputs = package("layers")
    fused, plain = MLProgram(path), MLProgram(path, fuse=False)
    assert len(list(fused.walk(inputs))) == fused.step_count < plain.step_count
    [square] = [each.name for each in plain.operations() if each.type == "square"]
    assert square in plain.trace(inputs, [square])
    with pytest.raises(ConfigError, match=rf"no computation gives {square}; with fuse=False there are more"):
        fused.trace(inputs, [square])


def test_inputs_and_closing_are_checked_before_the_first_step(package: Packages) -> None:
    path, _, inputs = package("layers")
    model = MLProgram(path)
    with pytest.raises(ArrayContractError, match=r"missing x"):
        model.walk({})
    model.close()
    with pytest.raises(BackendError, match=r"this model is closed"):
        model.walk(inputs)
