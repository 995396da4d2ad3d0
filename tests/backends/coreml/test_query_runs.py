"""Attention head by head and in runs of queries, and what only looks like it: fused or not, the numbers are the same."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from sdrt.backends.coreml import MLProgram
from tests.backends.coreml.peer import convert, random_inputs, worst_difference

_LENGTH = 11


class Runs(nn.Module):
    """Two heads of four channels over runs of queries [start, stop) on [n, channels, 1, length].

    Parameters
    ----------
    runs : list of (int, int)
    other_keys : bool
        Whether the second run attends to other keys than the first.
    """

    def __init__(self, runs: list[tuple[int, int]], *, other_keys: bool = False) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.runs, self.other_keys = runs, other_keys
        self.q, self.k, self.v, self.out = (nn.Conv2d(8, 8, 1) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.q(x), self.k(x).transpose(1, 3), self.v(x)
        heads = []
        for at in (slice(0, 4), slice(4, 8)):
            parts = []
            for index, (start, stop) in enumerate(self.runs):
                keys = self.v(x).transpose(1, 3)[:, :, :, at] if self.other_keys and index == 1 else k[:, :, :, at]
                weights = torch.einsum("bchq,bkhc->bkhq", q[:, at][:, :, :, start:stop], keys).softmax(dim=1)
                parts.append(torch.einsum("bkhq,bchk->bchq", weights, v[:, at]))
            heads.append(torch.cat(parts, dim=3))
        found: torch.Tensor = self.out(torch.cat(heads, dim=1))
        return found


@pytest.mark.parametrize("precision", ["float32", "float16"])
@pytest.mark.parametrize("runs", [[(0, 6), (6, 11)], [(0, 4), (4, 8), (8, 11)]], ids=str)
def test_runs_are_put_together(tmp_path: Path, runs: list[tuple[int, int]], precision: str) -> None:
    inputs = random_inputs(1, {"x": (2, 8, 1, _LENGTH)})
    module = Runs(runs).requires_grad_(False)
    path = convert(module, inputs, ["out"], tmp_path, precision=precision)
    fused, plain = MLProgram(path), MLProgram(path, fuse=False)
    # three products before, a transposition, the heads, a product after; a float16 package's output is cast
    assert fused.step_count == 6 + (precision == "float16")
    assert worst_difference(fused.predict(inputs)["out"], plain.predict(inputs)["out"]) <= 1e-5
    assert worst_difference(fused.predict(inputs)["out"], module(inputs["x"]).numpy()) <= (1e-5 if precision == "float32" else 5e-3)


@pytest.mark.parametrize(
    ("runs", "other_keys"),
    [
        ([(6, 11), (0, 6)], False),
        ([(0, 6), (5, 11)], False),
        ([(0, 6), (7, 11)], False),
        ([(1, 6), (6, 11)], False),
        ([(0, 6), (0, 5)], False),
        ([(0, 6), (6, 11)], True),
    ],
    ids=["out of order", "overlapping", "one left out", "the first left out", "the same twice", "other keys"],
)
def test_what_only_looks_like_runs_stays_apart(tmp_path: Path, runs: list[tuple[int, int]], other_keys: bool) -> None:
    inputs = random_inputs(2, {"x": (2, 8, 1, _LENGTH)})
    module = Runs(runs, other_keys=other_keys).requires_grad_(False)
    path = convert(module, inputs, ["out"], tmp_path)
    found = MLProgram(path).predict(inputs)["out"]
    assert worst_difference(found, module(inputs["x"]).numpy()) <= 1e-5
    assert MLProgram(path).step_count > 8
    assert np.isfinite(found).all()


class Gated(nn.Module):
    """A feed-forward layer of 1x1 convolutions, gated by GELU of the second half, or of the first."""

    def __init__(self, *, second: bool) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.inner, self.outer, self.second = nn.Conv2d(6, 16, 1), nn.Conv2d(8, 6, 1), second

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        value, gate = self.inner(x).chunk(2, dim=1)
        if not self.second:
            value, gate = gate, value
        found: torch.Tensor = x + self.outer(value * torch.nn.functional.gelu(gate))
        return found


@pytest.mark.parametrize("second", [True, False])
def test_feed_forward_layers_over_channels(tmp_path: Path, second: bool) -> None:
    inputs = random_inputs(3, {"x": (2, 6, 1, 5)})
    module = Gated(second=second).requires_grad_(False)
    # the convolution before it: what is added has to be made by an operation
    path = convert(nn.Sequential(nn.Conv2d(6, 6, 1), module).requires_grad_(False), inputs, ["out"], tmp_path)
    fused, plain = MLProgram(path), MLProgram(path, fuse=False)
    assert (fused.step_count == 2) is second
    assert worst_difference(fused.predict(inputs)["out"], plain.predict(inputs)["out"]) <= 1e-6
