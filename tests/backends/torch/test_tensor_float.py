"""TensorFloat-32 is off while a float32 call runs on a CUDA device, and the process's own flags stand again afterwards."""

import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
import torch

from sdrt.backends.torch.tensor_float import full_float32

CUDA = torch.device("cuda")


def precisions() -> tuple[bool, bool]:
    return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32


@pytest.fixture(autouse=True, params=[False, True], ids=["products exact outside", "products rounded outside"])
def _outside(request: pytest.FixtureRequest) -> Iterator[None]:
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = request.param
    yield
    torch.backends.cuda.matmul.allow_tf32 = before


def test_a_float32_call_on_cuda_rounds_nothing() -> None:
    outside = precisions()
    assert outside[0], "torch's default"
    with full_float32(CUDA, torch.float32):
        assert precisions() == (False, False)
    assert precisions() == outside


@pytest.mark.parametrize(("device", "dtype"), [("cpu", torch.float32), ("cuda", torch.float16), ("cuda", torch.bfloat16)])
def test_other_calls_leave_the_flags_alone(device: str, dtype: torch.dtype) -> None:
    outside = precisions()
    with full_float32(torch.device(device), dtype):
        assert precisions() == outside


def test_the_last_of_several_calls_at_once_restores_the_flags() -> None:
    outside = precisions()
    entered, leave = threading.Event(), threading.Event()

    def call() -> None:
        with full_float32(CUDA, torch.float32):
            entered.set()
            leave.wait(10)

    other = threading.Thread(target=call)
    other.start()
    assert entered.wait(10)
    with full_float32(CUDA, torch.float32):
        leave.set()
        other.join(10)
        assert precisions() == (False, False)
    assert precisions() == outside


def test_an_error_in_the_call_restores_the_flags_too() -> None:
    outside = precisions()
    with pytest.raises(KeyError), full_float32(CUDA, torch.float32):
        raise KeyError
    assert precisions() == outside


def test_a_process_that_uses_the_newer_flags_keeps_them() -> None:
    code = """
import torch
from sdrt.backends.torch.tensor_float import full_float32
conv, matmul = torch.backends.cudnn.conv, torch.backends.cuda.matmul
conv.fp32_precision = matmul.fp32_precision = "tf32"
torch.backends.cudnn.rnn.fp32_precision = "ieee"
with full_float32(torch.device("cuda"), torch.float32):
    print(conv.fp32_precision, matmul.fp32_precision)
print(conv.fp32_precision, matmul.fp32_precision)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "ieee ieee\ntf32 tf32\n"
