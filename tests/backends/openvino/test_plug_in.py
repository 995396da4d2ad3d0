"""The plug-in: that it is a stranger, and that its networks are the same networks.

`sdrt.testing.check_backend` runs over it in tests/testing/networks, which takes minutes: every shape of every component is traced and
compiled. Here are a decoder and a text encoder.
"""

import ast
import importlib
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import sdrt
from sdrt.backends import PLAIN, BackendOptions, Network, registry
from sdrt.backends.pool import NetworkPool
from sdrt.errors import ArrayContractError, ConfigError, MissingExtraError
from sdrt.models import ComponentName, open_component, open_model
from tests.backends.cases import inputs_of, open_case, relative_error, save_parts
from tests.factories import normal

ROOT = Path(sdrt.__file__).parents[1]
HOME = ROOT / "sdrt" / "backends" / "openvino"
OWN = "sdrt.backends.openvino"


def imported_names() -> Iterator[tuple[str, str, str]]:
    """(file, module, name) of everything that the plug-in takes from sdrt outside its own room."""
    for file in sorted(HOME.glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                assert not any(alias.name.startswith("sdrt") for alias in node.names), f"{file.name}: import names, not modules"
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sdrt") and not (node.module or "").startswith(OWN):
                yield from ((file.name, node.module or "", alias.name) for alias in node.names)


def test_it_uses_what_is_offered_to_everybody() -> None:
    """Each name that it imports stands in the ``__all__`` of a room without an underscore."""
    found = list(imported_names())
    assert ("backend.py", "sdrt.backends", "signature") in found
    for file, module, name in found:
        assert not any(each.startswith("_") for each in module.split(".")), file
        assert name in importlib.import_module(module).__all__, f"{file}: {module} does not offer {name}"


def test_only_the_entry_point_knows_it() -> None:
    entries = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"][registry.GROUP]
    module, _, attribute = entries["openvino"].partition(":")
    assert (module, attribute) == (OWN, "OpenVinoBackend")
    assert "openvino" not in registry._BUILT_IN
    for file in sorted((ROOT / "sdrt").rglob("*.py")):
        if not file.is_relative_to(HOME):
            assert OWN not in file.read_text(encoding="utf-8"), file


def test_its_absence_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    from sdrt.backends.openvino import backend

    monkeypatch.setattr(backend, "find_spec", lambda name: None if name == "openvino" else True)
    with pytest.raises(MissingExtraError, match=r"backend 'openvino' needs openvino; install the extra: pip install 'sdrt\[openvino\]'"):
        backend.OpenVinoBackend()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("openvino", reason="openvino is not installed: pip install 'sdrt[openvino]'")
    return save_parts(tmp_path_factory.mktemp("openvino") / "sd1", "sd1")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def open_part(folder: Path, component: ComponentName, cache: Path | None, **options: Any) -> Network:
    from sdrt.backends.openvino import OpenVinoBackend

    return OpenVinoBackend().open(component, open_model(folder), BackendOptions(extra={"cache_dir": cache, **options}))


@pytest.mark.parametrize("component", ["text_encoder", "vae_decoder"])
def test_it_agrees_with_numpy_and_keeps_what_it_made(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, component: ComponentName
) -> None:
    """Other sizes than those it was traced with too; the second opening reads the conversion, and gives the same bytes."""
    from sdrt.backends.torch import construction

    first = open_part(folder, component, cache)
    jobs = [inputs_of("sd1", component), inputs_of("sd1", component, n=3, size=16, seed=1)]
    results = [first(**job) for job in jobs]
    for job, found in zip(jobs, results, strict=True):
        for name, wanted in open_case("numpy", folder, component)(**job).items():
            assert relative_error(found[name], wanted) < 1e-4, name
    first.close()
    monkeypatch.setattr(construction, "open_module", lambda *_, **__: pytest.fail("the conversion is there already"))
    second = open_part(folder, component, cache)
    found = second(**jobs[0])
    assert found.keys() == results[0].keys()
    assert all(np.array_equal(x, results[0][name]) for name, x in found.items())


@pytest.mark.parametrize(("name", "topics"), [("logit_scale", []), ("ip_adapter.bias", ["unused tensors of text_encoder"])])
def test_tensors_that_are_not_used_are_named_from_a_kept_conversion_too(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, topics: list[str]
) -> None:
    from sdrt.backends.torch import construction

    model = Path(shutil.copytree(folder, tmp_path / "model"))
    file = next((model / "text_encoder").glob("*.safetensors"))
    save_file(load_file(file) | {name: np.ones(2, np.float32)}, file, metadata={"format": "pt"})

    def opened() -> NetworkPool:
        options = BackendOptions(extra={"cache_dir": tmp_path / "cache"})
        pool = NetworkPool(open_model(model), {"text_encoder": registry.get("openvino")}, {"text_encoder": options})
        pool.get("text_encoder")
        return pool

    first = opened()
    first.get("text_encoder")(**inputs_of("sd1", "text_encoder"))
    monkeypatch.setattr(construction, "open_module", lambda *_, **__: pytest.fail("the conversion is there already"))
    assert list(first.remarks) == list(opened().remarks) == topics


def test_a_conversion_says_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Transformers tells once a process that a text encoder is no language model."""
    from transformers.utils import logging

    logging.warning_once.cache_clear()
    monkeypatch.setattr(logging.get_logger("transformers"), "propagate", True)
    open_part(folder, "text_encoder", None)(**inputs_of("sd1", "text_encoder"))
    assert [record.getMessage() for record in caplog.records] == []


def test_refusals(folder: Path) -> None:
    from sdrt.backends.openvino import OpenVinoBackend

    model = open_model(folder)
    with pytest.raises(ConfigError, match=r"the openvino backend computes in float32 or less; for numerics='float64' take"):
        OpenVinoBackend().open("unet", model, BackendOptions(numerics="float64"))
    with pytest.raises(ConfigError, match=r"dtype must be 'float32' or 'bfloat16' or 'float16', or null, got 'int8'"):
        open_part(folder, "unet", None, dtype="int8")
    network = open_part(folder, "unet", None)
    inputs = inputs_of("sd1", "unet")
    with pytest.raises(
        ArrayContractError, match=r"sample must have sides that are multiples of 8 for OpenVINO, got 12x16; .* multiples of 64"
    ):
        network(**{**inputs, "sample": inputs["sample"].repeat(2, axis=2)[:, :, :12]})
    with pytest.raises(ArrayContractError, match="the vocabulary has"):
        open_part(folder, "text_encoder", None)(input_ids=np.array([[10**6]], np.int32))


def test_a_device_that_is_not_here_lists_those_that_are(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"device 'NO SUCH DEVICE' is not available; OpenVINO finds .*CPU"):
        open_part(folder, "vae_decoder", None, device="no such device")


@pytest.mark.parametrize("component", ["vae_decoder", "vae_encoder"])
def test_a_quick_autoencoder(component: ComponentName) -> None:
    """Both halves, of a batch of another height than width: 1e-6 is measured."""
    pytest.importorskip("openvino", reason="openvino is not installed: pip install 'sdrt[openvino]'")
    x = normal(1, 2, 4, 8, 6) if component == "vae_decoder" else normal(2, 2, 3, 64, 48)
    model = open_component("nano-quick", "vae_decoder")
    networks = [registry.get(name).open(component, model, BackendOptions(), PLAIN) for name in ("openvino", "numpy")]
    found, wanted = (next(iter(network(**{network.signature.inputs[0].name: x}).values())) for network in networks)
    assert relative_error(found, wanted) < 1e-5
