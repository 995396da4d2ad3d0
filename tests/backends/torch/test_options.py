"""The torch backend's options: each does what it says, or is refused in a line that says what is here."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sdrt.backends import BackendOptions, registry
from sdrt.backends.torch import TorchBackend, extra
from sdrt.backends.torch.network import TorchNetwork
from sdrt.errors import BackendError, ConfigError, MissingExtraError
from sdrt.models import ComponentName, open_model
from tests.backends.cases import inputs_of, open_case, relative_error


def open_part(
    folder: Path, component: ComponentName = "unet", *, low_memory: bool = False, threads: int | None = None, **own: Any
) -> TorchNetwork:
    return TorchBackend().open(component, open_model(folder), BackendOptions(threads=threads, low_memory=low_memory, extra=own))


@pytest.mark.parametrize("component", ["unet", "controlnet", "vae_decoder", "vae_encoder", "text_encoder", "safety_checker"])
def test_bfloat16_stays_near_float32(sd1: Path, component: ComponentName) -> None:
    """8 bits of mantissa round each value by 2**-9; some forty layers add that up to a few parts in a hundred, never to more than a tenth.

    It is another computation, too: had the option no effect, the two would agree to 1e-5.
    """
    inputs = inputs_of("sd1", component)
    wanted, found = open_part(sd1, component)(**inputs), open_part(sd1, component, dtype="bfloat16")(**inputs)
    assert found.keys() == wanted.keys()
    for name, x in found.items():
        assert x.dtype == np.float32
        assert 1e-4 < relative_error(x, wanted[name]) < 0.1, name


def test_timesteps_are_not_rounded_to_bfloat16(sd1: Path) -> None:
    """999 would become 1000, and the two give the same answer."""
    network, inputs = open_part(sd1, dtype="bfloat16"), inputs_of("sd1", "unet")
    first, second = (network(**{**inputs, "timestep": np.full(2, t, np.float32)})["noise_pred"] for t in (999.0, 1000.0))
    assert not np.array_equal(first, second)


@pytest.mark.parametrize(
    ("component", "changed"),
    [
        ("unet", {"channels_last": False}),
        ("unet", {"low_memory": True}),
        ("vae_encoder", {"low_memory": True}),
        ("vae_decoder", {"low_memory": True}),
        ("vae_decoder", {"threads": 2}),
    ],
    ids=str,
)
def test_what_should_only_change_speed_and_memory_moves_rounding_only(sd1: Path, component: ComponentName, changed: dict[str, Any]) -> None:
    inputs = inputs_of("sd1", component, n=3)
    wanted = open_part(sd1, component)(**inputs)
    found = open_part(sd1, component, **changed)(**inputs)
    assert found.keys() == wanted.keys()
    for name, x in found.items():
        assert relative_error(x, wanted[name]) < 1e-5, name


def test_weights_stay_in_their_file_where_memory_is_short(sd1: Path) -> None:
    """A read-only map: torch may not write there. Otherwise every tensor has memory of its own, which outlives the file."""
    maps = Path("/proc/self/maps")
    if not maps.is_file():
        pytest.skip("needs Linux's list of memory maps")
    file = str(sd1 / "unet" / "diffusion_pytorch_model.safetensors")

    def mapped_weights(network: TorchNetwork) -> int:
        ranges = [line.split()[0].split("-") for line in maps.read_text().splitlines() if line.endswith(file)]
        edges = [(int(low, 16), int(high, 16)) for low, high in ranges]
        return sum(any(low <= x.data_ptr() < high for low, high in edges) for x in network._adapter.parameters())

    mapped, own = open_part(sd1, low_memory=True), open_part(sd1)
    assert mapped_weights(mapped) == len(list(mapped._adapter.parameters()))
    assert mapped_weights(own) == 0


def test_threads_are_as_before_after_a_call(sd1: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Inside a call torch has the threads that were asked for; afterwards, also after an error, what it had."""
    network, before, seen = open_part(sd1, threads=2), torch.get_num_threads(), []

    def spy(**_: torch.Tensor) -> tuple[torch.Tensor, ...]:
        seen.append(torch.get_num_threads())
        raise ZeroDivisionError

    monkeypatch.setattr(network, "_module", spy)
    with pytest.raises(ZeroDivisionError):
        network(**inputs_of("sd1", "unet"))
    assert seen == [2]
    assert torch.get_num_threads() == before


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"device": "tpu"}, "device must be cpu, cuda, cuda:<index> or mps, got 'tpu'"),
    ({"device": 1.5}, "device must be cpu, cuda, cuda:<index> or mps, got 1.5"),
    ({"device": "meta"}, "device must be cpu, cuda, cuda:<index> or mps, got 'meta'"),
    ({"dtype": "float8"}, "dtype must be float32, bfloat16, float16, or float64 with numerics='float64', or null, got 'float8'"),
    ({"device": 3}, "device must be cpu, cuda, cuda:<index> or mps, got 3"),
    ({"dtype": 3}, "dtype must be float32, bfloat16, float16, or float64 with numerics='float64', or null, got 3"),
    ({"dtype": "float64"}, "or numerics='float64'"),
    ({"dtype": "float16"}, "dtype 'float16' is for cuda and mps; on cpu take 'bfloat16' or 'float32'"),
    ({"compile": "yes"}, "compile must be true or false, or null, got 'yes'"),
    ({"channels_last": 1}, "channels_last must be true or false, or null, got 1"),
    ({"on_compile": 3}, "on_compile must be a function, or null, got 3"),
]


@pytest.mark.parametrize(("own", "message"), REFUSED, ids=str)
def test_an_option_that_cannot_be_used_is_refused(sd1: Path, own: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)) as caught:
        open_part(sd1, **own)
    assert "\n" not in str(caught.value)


def test_a_device_that_is_not_here_is_named(sd1: Path) -> None:
    if torch.cuda.is_available():
        with pytest.raises(ConfigError, match=rf"this machine has {torch.cuda.device_count()} CUDA devices"):
            open_part(sd1, device="cuda:99")
    else:
        with pytest.raises(ConfigError, match=r"device 'cuda' is not available: torch .* finds no CUDA device; take device='cpu'"):
            open_part(sd1, device="cuda")


def test_float64_and_a_smaller_dtype_exclude_each_other(sd1: Path) -> None:
    with pytest.raises(ConfigError, match=r"numerics='float64' computes in float64; leave dtype out, got dtype='bfloat16'"):
        TorchBackend().open("unet", open_model(sd1), BackendOptions(numerics="float64", extra={"dtype": "bfloat16"}))


def test_torch_dtypes_and_devices_will_do(sd1: Path) -> None:
    inputs = inputs_of("sd1", "vae_decoder")
    wanted = open_part(sd1, "vae_decoder", dtype="bfloat16", device="cpu")(**inputs)
    found = open_part(sd1, "vae_decoder", dtype=torch.bfloat16, device=torch.device("cpu"))(**inputs)
    assert np.array_equal(found["image"], wanted["image"])


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extra, "find_spec", lambda name: None if name == "diffusers" else True)
    with pytest.raises(MissingExtraError, match=r"backend 'torch' needs diffusers; install the extra: pip install 'sdrt\[torch\]'"):
        TorchBackend()


def test_a_broken_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extra, "PACKAGES", ("torch", "this"))
    monkeypatch.setattr("importlib.import_module", lambda name: 1 / 0)
    with pytest.raises(BackendError, match=r"backend 'torch' cannot import torch \(ZeroDivisionError: .*install it anew"):
        extra.import_packages()


def test_the_registry_lists_it_without_importing_torch() -> None:
    code = "import sys; from sdrt.backends import registry; registry.status(); print('torch' in registry.names(), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]
    assert registry.get("torch") is registry.get("torch")


def test_opening_and_calling_warn_of_nothing(sd1: Path) -> None:
    """In a process of its own, as the peers warn once: when they are imported, and of how their own classes change."""
    code = f"""
import numpy as np
from sdrt.backends import BackendOptions, registry
from sdrt.models import open_model
model, options = open_model({str(sd1)!r}), BackendOptions(low_memory=True)
registry.get("torch").open("text_encoder", model, options)(input_ids=np.ones((1, 5), np.int32))
registry.get("torch").open("vae_decoder", model, options)(z=np.ones((1, 4, 8, 8), np.float32))
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device here")
@pytest.mark.parametrize(("dtype", "bound"), [("float32", 1e-4), ("float16", 2e-2)])
@pytest.mark.parametrize("component", ["unet", "controlnet", "vae_decoder", "vae_encoder", "text_encoder", "safety_checker"])
def test_cuda_agrees_with_numpy(sd1: Path, component: ComponentName, dtype: str, bound: float) -> None:
    """float32 is whole, without TensorFloat-32's rounding by 2**-11; float16 rounds by 2**-12 in each of some forty layers."""
    inputs = inputs_of("sd1", component)
    wanted = open_case("numpy", sd1, component)(**inputs)
    found = open_part(sd1, component, device="cuda", dtype=dtype)(**inputs)
    assert found.keys() == wanted.keys()
    for name, x in found.items():
        assert relative_error(x, wanted[name]) < bound, name
