"""What `--fast` chooses, for machines that are not here too."""

from pathlib import Path
from typing import Any

import pytest
import torch

from sdrt.backends import BackendOptions, registry
from sdrt.backends.torch import Machine, fastest_options, this_machine
from sdrt.backends.torch.options import TorchOptions

MACHINES: list[tuple[dict[str, Any], str, str, str]] = [
    ({"cuda": "a card"}, "cuda", "float16", "a card has matrix units for float16"),
    ({"cuda": "an old card", "cuda_has_float16_units": False}, "cuda", "float32", "an old card has no matrix units"),
    ({"mps": True}, "mps", "float16", "Metal moves half the bytes"),
    ({"flags": frozenset({"avx512_bf16", "amx_bf16"})}, "cpu", "bfloat16", "a processor has bfloat16 units (amx_bf16)"),
    ({"flags": frozenset({"avx512_bf16"})}, "cpu", "bfloat16", "a processor has bfloat16 units (avx512_bf16)"),
    ({"flags": frozenset({"avx2", "avx512f"})}, "cpu", "float32", "a processor has no bfloat16 units"),
]


@pytest.mark.parametrize(("facts", "device", "dtype", "reason"), MACHINES)
def test_choice_and_reason(facts: dict[str, Any], device: str, dtype: str, reason: str) -> None:
    found = fastest_options(Machine(processor="a processor", **facts))
    assert found.options == {"device": device, "dtype": dtype, "channels_last": device != "mps", "compile": False}
    assert found.reason.startswith(f"{device}, {dtype}")
    assert reason in found.reason
    assert "\n" not in found.reason


def test_this_machine_takes_what_is_chosen_for_it() -> None:
    chosen = fastest_options(this_machine())
    assert set(chosen.options) <= set(registry.get("torch").option_names)
    options = TorchOptions.read(BackendOptions(extra=chosen.options))
    assert (options.device.type == "cuda") == torch.cuda.is_available()


def test_the_processor_is_asked() -> None:
    """On Linux its flags stand in a file; elsewhere torch may know."""
    if not Path("/proc/cpuinfo").is_file():
        pytest.skip("needs Linux's description of the processor")
    assert this_machine().flags >= {flag for flag in ("amx_bf16", "avx512_bf16") if f" {flag} " in Path("/proc/cpuinfo").read_text()}
    assert this_machine().processor
