"""``numerics="exact"``: the same bytes however BLAS adds, on any number of threads, for any batch; and as near the truth as float32."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdrt.arrays import Array, Numerics
from sdrt.backends import BackendOptions
from sdrt.backends.numpy import NumpyBackend
from sdrt.backends.numpy.attention import attend
from sdrt.backends.numpy.exact import EXACT
from sdrt.backends.numpy.network import NumpyNetwork
from sdrt.backends.numpy.team import ThreadTeam
from sdrt.backends.numpy.winograd import worth_winograd
from sdrt.models import ComponentName, Model, open_component, open_model
from tests.backends.cases import CASES, ONE_OF_EACH, inputs_of, relative_error
from tests.backends.numpy import exact_digests
from tests.backends.numpy.reference import open_network, part_folder
from tests.exact.poison import poison
from tests.factories import Form, normal, random_unet, save_union_folder

# Wide enough for the fast way of convolutions, deep enough for rows that are rounded one by one and for sums of several runs.
WIDE: dict[str, Any] = {
    "block_out_channels": (96,),
    "down_block_types": ("CrossAttnDownBlock2D",),
    "up_block_types": ("CrossAttnUpBlock2D",),
    "layers_per_block": 1,
    "cross_attention_dim": 32,
    "attention_head_dim": 4,
}
ALL = (*CASES, ("sdxl", "union"))


@pytest.fixture(scope="session")
def models(folders: dict[Form, Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Model]:
    """The model of a form that has a component; a union ControlNet is a folder of its own."""
    union = save_union_folder(tmp_path_factory.mktemp("union") / "controlnet")
    return lambda form, component: open_component(union, "controlnet") if component == "union" else open_model(folders[form])  # type: ignore[index]


@pytest.fixture(scope="session")
def wide_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return part_folder(tmp_path_factory.mktemp("wide"), "unet", random_unet(WIDE))


def opened(model: Model, component: str, numerics: Numerics = "exact", threads: int = 2, *, low_memory: bool = False) -> NumpyNetwork:
    name: ComponentName = "controlnet" if component == "union" else component  # type: ignore[assignment]
    return NumpyBackend().open(name, model, BackendOptions(numerics=numerics, threads=threads, low_memory=low_memory))


def inputs_for(form: Form, component: str, n: int = 2, dtype: Numerics = "float32") -> dict[str, Array]:
    if component != "union":
        return inputs_of(form, component, n=n, dtype=dtype)  # type: ignore[arg-type]
    inputs = inputs_of(form, "controlnet", n=n, dtype=dtype)
    pictures = inputs["controlnet_cond"]
    return inputs | {
        "controlnet_cond": np.stack([pictures, pictures[..., ::-1]], axis=1),
        "control_type": np.tile(np.array([4, 1], np.int32), (n, 1)),
        "control_scale": np.linspace(0.5, 1.0, 2 * n).reshape(n, 2).astype(dtype),
    }


def wide_inputs(n: int = 2, dtype: str = "float32") -> dict[str, Array]:
    inputs = {"sample": normal(0, n, 4, 32, 32), "timestep": np.full(n, 501.0), "encoder_hidden_states": normal(1, n, 9, 32)}
    return {name: x.astype(dtype) for name, x in inputs.items()}


def same_bytes(found: dict[str, Array], wanted: dict[str, Array]) -> bool:
    return found.keys() == wanted.keys() and all(found[name].tobytes() == x.tobytes() for name, x in wanted.items())


class ShuffledBlas:
    """np.matmul that adds its terms in an order of its own each time, as another BLAS may."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rng, self.calls, self.matmul = np.random.default_rng(0), 0, np.matmul
        monkeypatch.setattr(np, "matmul", self)

    def __call__(self, a: Array, b: Array, out: Array) -> Array:
        self.calls += 1
        order = self.rng.permutation(a.shape[-1])
        out[...] = self.matmul(a[..., order], b[..., order, :])
        return out


@pytest.mark.parametrize(("form", "component"), ALL)
def test_every_form_of_every_component(models: Callable[[str, str], Model], form: Form, component: str) -> None:
    """The same bytes on 1, 2 and 3 threads and for each row alone, within 8 times float32's error of float64."""
    model, inputs = models(form, component), inputs_for(form, component)
    wanted = opened(model, component, threads=1)(**inputs)
    for threads in (2, 3):
        assert same_bytes(opened(model, component, threads=threads)(**inputs), wanted)
    for row in range(2):
        alone = opened(model, component)(**{name: x[row : row + 1] for name, x in inputs.items()})
        assert same_bytes(alone, {name: x[row : row + 1] for name, x in wanted.items()})
    truth = opened(model, component, "float64")(**inputs_for(form, component, dtype="float64"))
    plain = opened(model, component, "float32")(**inputs)
    for name, x in truth.items():
        assert wanted[name].dtype == np.float32
        # float32 may hit the truth by luck where a component is small: its own unit, twice, is allowed for
        assert relative_error(wanted[name], x) < 8 * max(relative_error(plain[name], x), 2.0**-23), name


@pytest.mark.parametrize(("form", "component"), [*ONE_OF_EACH, ("sdxl", "union")])
def test_no_order_of_a_blas_and_no_libm_shows(
    models: Callable[[str, str], Model], form: Form, component: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, inputs = models(form, component), inputs_for(form, component)
    wanted = opened(model, component)(**inputs)
    poison(monkeypatch)
    blas = ShuffledBlas(monkeypatch)
    assert same_bytes(opened(model, component)(**inputs), wanted)
    assert blas.calls > 10


def test_a_shuffled_blas_shows_in_float32(folders: dict[Form, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """What the test above is worth."""
    inputs = inputs_of("sd1", "unet")
    network = open_network(folders["sd1"], "unet")
    wanted = network(**inputs)
    ShuffledBlas(monkeypatch)
    assert not same_bytes(network(**inputs), wanted)


def test_wide_networks(wide_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Convolutions by their fast way, rows that are rounded one by one, and sums of several runs; bound or not."""
    model, inputs = open_model(wide_folder), wide_inputs()
    assert worth_winograd(np.empty((2, 34, 34, 96), np.float32), 96)
    wanted = opened(model, "unet", threads=1)(**inputs)
    network = opened(model, "unet", threads=3)
    assert same_bytes(network(**inputs), wanted)
    bound = network.bind(encoder_hidden_states=inputs["encoder_hidden_states"])
    assert same_bytes(bound(sample=inputs["sample"], timestep=inputs["timestep"]), wanted)
    alone = network(**{name: x[1:] for name, x in inputs.items()})
    assert alone["noise_pred"].tobytes() == wanted["noise_pred"][1:].tobytes()
    truth = opened(model, "unet", "float64")(**wide_inputs(dtype="float64"))["noise_pred"]
    plain = opened(model, "unet", "float32")(**inputs)["noise_pred"]
    assert relative_error(wanted["noise_pred"], truth) < 8 * relative_error(plain, truth)
    ShuffledBlas(monkeypatch)
    assert same_bytes(network(**inputs), wanted)


@pytest.mark.parametrize(("length", "count", "causal"), [(77, 77, True), (700, 700, True), (300, 1500, False), (5, 1, False)])
def test_attention_of_several_blocks(length: int, count: int, causal: bool) -> None:
    """Against softmax in float64, for keys and queries of more than a block, scores of some hundred among them; each query alone."""
    q, k, v = normal(0, 2, length, 24) * 9, normal(1, 2, count, 24) * 9, normal(2, 2, count, 24)
    found = attend(ThreadTeam(1, EXACT), q, k, v, 3, causal=causal)
    assert attend(ThreadTeam(3, EXACT), q, k, v, 3, causal=causal).tobytes() == found.tobytes()
    heads = [x.astype(np.float64).reshape(2, -1, 3, 8).transpose(0, 2, 1, 3) for x in (q, k, v)]
    scores = heads[0] @ heads[1].transpose(0, 1, 3, 2) / np.sqrt(8)
    if causal:
        scores[..., np.arange(count) > np.arange(length)[:, None]] = -np.inf
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    wanted = (weights / weights.sum(axis=-1, keepdims=True) @ heads[2]).transpose(0, 2, 1, 3).reshape(found.shape)
    # scores of 500 have an error of 500 * 2**-24 in float32, and so has the exponential
    assert relative_error(found, wanted) < 1e-4
    if not causal:
        alone = attend(ThreadTeam(2, EXACT), q[:, length // 2 : length // 2 + 1], k, v, 3)
        assert alone.tobytes() == found[:, length // 2 : length // 2 + 1].tobytes()


def test_with_low_memory(models: Callable[[str, str], Model], wide_folder: Path) -> None:
    """The same bytes from weights that stay in their file, where convolutions go their fast way too."""
    for form, component in ONE_OF_EACH:
        model, inputs = models(form, component), inputs_for(form, component)
        assert same_bytes(opened(model, component, low_memory=True)(**inputs), opened(model, component)(**inputs))
    model, inputs = open_model(wide_folder), wide_inputs()
    assert same_bytes(opened(model, "unet", low_memory=True)(**inputs), opened(model, "unet")(**inputs))


def test_traces(models: Callable[[str, str], Model]) -> None:
    """Inner values are those of the run, and the same bytes on any number of threads."""
    model, inputs = models("sd1", "unet"), inputs_of("sd1", "unet")
    network = opened(model, "unet", threads=1)
    values = network.trace(network.trace_names, **inputs)
    assert len(values) == len(network.trace_names) > 100
    assert values["conv_out"].tobytes() == network(**inputs)["noise_pred"].tobytes()
    assert same_bytes(opened(model, "unet", threads=3).trace(network.trace_names, **inputs), values)


@pytest.mark.parametrize(
    "environment",
    [
        {"OPENBLAS_CORETYPE": "Haswell", "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR"},
        {"OPENBLAS_CORETYPE": "Nehalem", "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR"},
    ],
    ids=["Haswell", "Nehalem"],
)
def test_other_processors_give_the_same_bytes(folders: dict[Form, Path], wide_folder: Path, environment: dict[str, str]) -> None:
    """Other kernels of OpenBLAS and other vector instructions of numpy; both ignore a name that they do not know."""
    for arguments in ((str(folders["sd1"]), "8", "2", "text_encoder", "unet", "vae_decoder"), (str(wide_folder), "32", "2", "unet")):
        command = [sys.executable, exact_digests.__file__, *arguments]
        done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **environment})
        assert json.loads(done.stdout) == exact_digests.main(*arguments)
