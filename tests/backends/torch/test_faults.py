"""Memory that is short, configurations that cannot be built, compilations that do not end: one clear error each, nothing half open."""

import json
import logging
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sdrt.backends import BackendOptions
from sdrt.backends.torch import CompileEvent, TorchBackend, compiling
from sdrt.backends.torch.compiling import CompiledModule
from sdrt.backends.torch.network import TorchNetwork
from sdrt.errors import BackendError, ConfigError
from sdrt.models import ComponentName, open_model
from tests.backends.cases import inputs_of, relative_error


def open_part(folder: Path, component: ComponentName, **own: Any) -> TorchNetwork:
    return TorchBackend().open(component, open_model(folder), BackendOptions(extra=own))


def test_memory_that_is_short_is_one_error_with_the_ways_out(sd1: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch's own allocator fails here, on a petabyte; the network works again afterwards."""
    network, inputs = open_part(sd1, "unet"), inputs_of("sd1", "unet")
    wanted = network(**inputs)["noise_pred"]
    with monkeypatch.context() as patch:
        patch.setattr(network, "_module", lambda **_: (torch.empty(2**48),))
        with pytest.raises(
            BackendError, match=r"unet: cpu has not enough memory \(.*\); what helps: guidance_batching='sequential', fewer or"
        ) as caught:
            network(**inputs)
    assert "\n" not in str(caught.value)
    assert np.array_equal(network(**inputs)["noise_pred"], wanted)


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory. Tried"), MemoryError(), RuntimeError("MPS backend out of memory")]
)
def test_every_allocators_error_is_known(sd1: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(**_: torch.Tensor) -> tuple[torch.Tensor, ...]:
        raise error

    network = open_part(sd1, "vae_decoder")
    monkeypatch.setattr(network, "_module", fail)
    with pytest.raises(BackendError, match=r"vae_decoder: cpu has not enough memory .*what helps: VAE tiling"):
        network(**inputs_of("sd1", "vae_decoder"))


def test_other_errors_of_torch_pass(sd1: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: torch.Tensor) -> tuple[torch.Tensor, ...]:
        raise RuntimeError("another matter")

    network = open_part(sd1, "vae_decoder")
    monkeypatch.setattr(network, "_module", fail)
    with pytest.raises(RuntimeError, match="another matter"):
        network(**inputs_of("sd1", "vae_decoder"))


@pytest.mark.parametrize(
    ("component", "changes"),
    [
        ("unet", {"block_out_channels": [32, 64]}),
        ("unet", {"down_block_types": ["NoBlock"] * 4}),
        ("unet", {"norm_num_groups": 7}),
        ("vae_decoder", {"act_fn": "no function"}),
        ("text_encoder", {"num_attention_heads": 5}),
    ],
    ids=str,
)
def test_a_configuration_that_cannot_be_built_names_its_file(
    sd1: Path, tmp_path: Path, component: ComponentName, changes: dict[str, Any]
) -> None:
    folder = shutil.copytree(sd1, tmp_path / "model")
    file = folder / ("vae" if component == "vae_decoder" else component) / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    with pytest.raises(ConfigError) as caught:
        open_part(folder, component)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


class Doubled(torch.nn.Module):
    """A module in which each call can be made to fail while it is compiled."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (x * 2,)


@pytest.fixture
def compiler() -> tuple[Callable[..., Any], list[BaseException | None]]:
    """A compiler for torch that raises what the list holds, one entry for each compilation."""
    plan: list[BaseException | None] = []

    def compile_graph(graph: torch.fx.GraphModule, _: list[torch.Tensor]) -> Callable[..., Any]:
        error = plan.pop(0) if plan else None
        if error is not None:
            raise error
        return graph.forward

    torch._dynamo.reset()
    return compile_graph, plan


def test_compiling_is_told_once_for_each_shape(compiler: Any, caplog: pytest.LogCaptureFixture) -> None:
    events: list[CompileEvent] = []
    module = CompiledModule("unet", Doubled(), events.append, compiler[0])
    with caplog.at_level(logging.INFO, "sdrt"):
        for rows in (2, 2, 3, 2, 3):
            [found] = module(x=torch.ones(rows, 4))
            assert torch.equal(found, torch.full((rows, 4), 2.0))
    assert [(event.shapes, event.seconds is None) for event in events] == [
        (((2, 4),), True),
        (((2, 4),), False),
        (((3, 4),), True),
        (((3, 4),), False),
    ]
    assert caplog.messages[0] == "unet: compiling, which takes a while (2x4)"
    assert caplog.messages[1].startswith("unet: compiled in ")


def test_an_interrupted_compilation_begins_anew(compiler: Any) -> None:
    """Ctrl-C leaves as it came; the next call compiles from the beginning and gives the right answer."""
    compile_graph, plan = compiler
    plan.append(KeyboardInterrupt())
    events: list[CompileEvent] = []
    module = CompiledModule("unet", Doubled(), events.append, compile_graph)
    with pytest.raises(KeyboardInterrupt):
        module(x=torch.ones(2))
    assert [event.seconds is None for event in events] == [True]
    assert torch.equal(module(x=torch.ones(2))[0], torch.full((2,), 2.0))
    assert [event.seconds is None for event in events] == [True, True, False]


def test_a_compilation_that_fails_says_what_is_needed(compiler: Any) -> None:
    compile_graph, plan = compiler
    plan.append(RuntimeError("no compiler\nand much more"))
    module = CompiledModule("unet", Doubled(), None, compile_graph)
    with pytest.raises(BackendError, match=r"unet: torch.compile failed \(.*it needs a C\+\+ compiler.*compile=False") as caught:
        module(x=torch.ones(2))
    assert "\n" not in str(caught.value)
    assert torch.equal(module(x=torch.ones(2))[0], torch.full((2,), 2.0))


def test_threads_that_meet_a_new_shape_together_compile_it_once(compiler: Any) -> None:
    events: list[CompileEvent] = []
    module = CompiledModule("unet", Doubled(), events.append, compiler[0])
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda value: module(x=torch.full((5,), value))[0][0].item(), [1.0, 2.0, 3.0, 4.0]))
    assert found == [2.0, 4.0, 6.0, 8.0]
    assert len(events) == 2


# following a denoiser takes half a minute each
@pytest.mark.parametrize(
    "component", ["vae_decoder", pytest.param("unet", marks=pytest.mark.slow), pytest.param("controlnet", marks=pytest.mark.slow)]
)
def test_the_modules_of_the_peers_can_be_traced_whole(sd1: Path, monkeypatch: pytest.MonkeyPatch, component: ComponentName) -> None:
    """torch follows diffusers' code without compiling what it finds: the answer is that of the plain module, for two sizes and bound."""
    torch._dynamo.reset()
    monkeypatch.setattr(compiling.CompiledModule.__init__, "__defaults__", ("eager",))
    events: list[CompileEvent] = []
    plain, network = open_part(sd1, component), open_part(sd1, component, compile=True, on_compile=events.append)
    inputs = inputs_of("sd1", component)
    for name, x in network(**inputs).items():
        assert relative_error(x, plain(**inputs)[name]) < 1e-5
    bound = network.bind(**dict(list(inputs.items())[1:]))
    for name, x in bound(**dict(list(inputs.items())[:1])).items():
        assert relative_error(x, plain(**inputs)[name]) < 1e-5
    assert {event.component for event in events} == {component}


def test_texts_are_never_compiled(sd1: Path) -> None:
    events: list[CompileEvent] = []
    open_part(sd1, "text_encoder", compile=True, on_compile=events.append)(**inputs_of("sd1", "text_encoder"))
    assert events == []


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Dynamo detected a call to a `functools.lru_cache`:UserWarning")  # diffusers asks for torch's version
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_kernels_of_torchs_own_compiler_agree(sd1: Path, dtype: str) -> None:
    """Inductor fuses and reorders: rounding only in float32, a few components in a hundred in bfloat16."""
    torch._dynamo.reset()
    plain, network = open_part(sd1, "vae_decoder"), open_part(sd1, "vae_decoder", compile=True, dtype=dtype)
    inputs = inputs_of("sd1", "vae_decoder")
    assert relative_error(network(**inputs)["image"], plain(**inputs)["image"]) < (1e-4 if dtype == "float32" else 0.1)
