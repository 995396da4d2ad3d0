"""What ``sdrt.load`` takes: values of their kinds, and backends that look like backends, before anything is opened."""

import copy
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sdrt
from sdrt.arrays import Signature, TensorSpec
from sdrt.backends import PLAIN
from sdrt.backends.pool import CheckedNetwork
from sdrt.errors import ArrayContractError, ConfigError, ModelError
from sdrt.pipeline.vae_tiling import takes_tiles
from tests.factories import save_pipeline_folder
from tests.fake_backend import FakeBackend, FakeNetwork


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pipeline_folder(tmp_path_factory.mktemp("model") / "sd1")


class Nameless(FakeBackend):
    name = ""


class Listless(FakeBackend):
    option_names = "glitter"  # type: ignore[assignment]


class Failing:
    option_names = component_options = ()

    @property
    def name(self) -> str:
        raise KeyError("name")

    def open(self) -> None:
        """Open nothing."""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": ["a", "b"]}, r"^model must be a name or a path, got \['a', 'b'\]"),
        ({"model": "a\0b"}, r"^model must be a name or a path, got 'a\\x00b'"),
        ({"numerics": "float16"}, r"^numerics must be 'float32' or 'float64' or 'exact', got 'float16'"),
        ({"threads": "2"}, r"^threads must be a whole number of at least 1, or null, got '2'"),
        ({"threads": float("nan")}, r"^threads must be a whole number of at least 1, or null, got nan"),
        ({"threads": True}, r"^threads must be a whole number of at least 1, or null, got True"),
        ({"threads": 1_000_000}, r"^threads must be at most 1024, got 1000000; raise it with .*threads=1000000"),
        ({"reduce_memory": "no"}, r"^reduce_memory must be true or false, got 'no'"),
        ({"vae_tiling": 1}, r"^vae_tiling must be true or false, or null, got 1"),
        ({"safety_checker": None}, r"^safety_checker must be true or false, got None"),
        (
            {"controlnet": [3]},
            r"^controlnet must be a name or a path, or a list whose .*, or null, got \[3\]",
        ),
        ({"embeddings": "a.safetensors"}, r"^embeddings must be a mapping whose values are each a name or a path, or a list"),
        ({"embeddings": {"<a>": 3}}, r"^embeddings must be .*, got \{'<a>': 3\}"),
        ({"vae": 3}, r"^vae must be a name or a path, or null, got 3"),
        ({"variant": ""}, r"^variant must be a Unicode string of 1 to 100 characters, or null, got ''"),
        ({"pickled": True}, r"^pickled must be 'refuse' or 'weights_only', got True"),
        ({"prediction_type": "eps"}, r"^prediction_type must be 'epsilon' or 'v_prediction', or null, got 'eps'"),
        ({"config": 3}, r"^config must be a name or a path, or a mapping, or null, got 3"),
        ({"limits": {"images": 3}}, r"^limits must be an object of the class Limits, got \{'images': 3\}"),
        ({"backend": 3}, r"^backend must be a name, a Backend, or a mapping by component, got 3"),
        ({"backend": FakeBackend}, r"^backend must be a name, a Backend, or a mapping by component, got <class"),
        ({"backend": Nameless()}, r"^backend must be a name, a Backend, or a mapping by component, got <.*Nameless"),
        ({"backend": Listless()}, r"^backend must be a name, a Backend, or a mapping by component, got <.*Listless"),
        ({"backend": Failing()}, r"^backend must be a name, a Backend, or a mapping by component, got <.*Failing"),
        ({"backend": {"unet": None}}, r"^backend must be a name, a Backend, or a mapping by component, got None"),
        ({"backend": {3: "numpy"}}, r"^backend must be given for components among .*, got 3"),
    ],
)
def test_a_value_of_another_kind_is_refused_in_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        sdrt.load(**options)


def test_none_is_nothing_where_there_may_be_nothing(folder: Path) -> None:
    pipe = sdrt.load(folder, FakeBackend(), embeddings=None, controlnet=None, threads=None)  # type: ignore[arg-type]
    assert pipe.resolve("a", seed=1).embeddings == {}


@pytest.mark.parametrize("way", [pickle.dumps, copy.deepcopy, copy.copy], ids=lambda way: way.__name__)
def test_what_holds_networks_is_neither_pickled_nor_copied(folder: Path, way: Any) -> None:
    pipe = sdrt.load(folder, FakeBackend())
    steps = pipe.steps("a", num_inference_steps=2)
    for each, kind in ((pipe, "a pipeline"), (next(steps), "a step"), (steps, "a call under way")):
        with pytest.raises(ConfigError, match=rf"^{kind} cannot be pickled or copied"):
            way(each)


def test_a_result_can_be_pickled(folder: Path) -> None:
    result = sdrt.load(folder, FakeBackend()).generate("a", num_inference_steps=2)
    again = pickle.loads(pickle.dumps(result))  # noqa: S301 -- what was pickled in this line
    assert (again.settings, again.seeds) == (result.settings, result.seeds)
    assert again.latents.tobytes() == result.latents.tobytes()


@pytest.mark.parametrize(
    "latents",
    [
        [1],
        None,
        np.zeros((4, 8, 8), np.float32),
        np.zeros((1, 3, 8, 8), np.float32),
        np.zeros((1, 4, 8, 8), np.int32),
        np.zeros((1, 4, 0, 8), np.float32),
        np.full((1, 4, 8, 8), np.nan, np.float32),
        np.full((1, 4, 8, 8), "a"),
    ],
    ids=["list", "none", "three axes", "channels", "integers", "empty", "nan", "text"],
)
def test_only_latents_of_the_model_are_decoded(folder: Path, latents: Any) -> None:
    with pytest.raises(ArrayContractError, match=r"^decode: "):
        sdrt.load(folder, FakeBackend()).decode(latents)


def test_latents_within_the_limits_are_decoded(folder: Path) -> None:
    pipe = sdrt.load(folder, FakeBackend(), limits=sdrt.Limits(images=2, pixels=64 * 64))
    assert len(pipe.decode(np.zeros((2, 4, 8, 8), np.float64))) == 2
    assert pipe.decode(np.zeros((0, 4, 8, 8), np.float32)) == []
    for shape in ((3, 4, 8, 8), (1, 4, 8, 9)):
        with pytest.raises(ConfigError, match=r"of the latents.* must be at most"):
            pipe.decode(np.zeros(shape, np.float32))


# ---- packages whose decoder takes one size


def fixed(decoder: Signature, size: Any) -> Signature:
    [z] = decoder.inputs
    return Signature((TensorSpec(z.name, z.dtype, (*z.shape[:2], size, size)),), decoder.outputs)


class OneSize(FakeBackend):
    """A backend whose decoder takes latents of 16x16, as a converted package does."""

    def open(self, component: Any, model: Any, options: Any, component_options: Any = PLAIN) -> FakeNetwork:
        network = super().open(component, model, options, component_options)
        if component == "vae_decoder":
            return FakeNetwork(component, fixed(network.signature, 16), network.compute)
        return network


def test_a_decoder_of_one_size_is_not_asked_for_tiles(folder: Path) -> None:
    """The autoencoder was trained on 32 pixels, and 128 would be cut into tiles that the package refuses."""
    pictures = [
        sdrt.load(folder, backend, reduce_memory=True).generate("a", seed=1, height=128, width=128, num_inference_steps=1).images[0]
        for backend in (OneSize(), FakeBackend())
    ]
    assert pictures[0].size == pictures[1].size == (128, 128)
    network = FakeBackend().open("vae_decoder", sdrt.models.open_model(folder), sdrt.BackendOptions())
    for size, tiles in ((None, True), (16, False), (frozenset({8, 16}), False)):
        other = FakeNetwork("vae_decoder", fixed(network.signature, size), network.compute)
        assert takes_tiles(CheckedNetwork("vae_decoder", other)) is tiles


def test_a_raised_limit_of_json_holds_for_the_tokenizer(folder: Path, tmp_path: Path) -> None:
    model = shutil.copytree(folder, tmp_path / "model")
    vocabulary = model / "tokenizer" / "vocab.json"
    largest = max(file.stat().st_size for file in model.rglob("*.json")) + 1
    vocabulary.write_text(vocabulary.read_text(encoding="utf-8") + " " * largest, encoding="utf-8")
    size = vocabulary.stat().st_size
    with pytest.raises(ModelError, match=rf"vocab\.json: the size in bytes must be at most {size - 1}, got {size}; raise it"):
        _ = sdrt.load(model, FakeBackend(), limits=sdrt.Limits(json_bytes=size - 1)).tokenizer
    assert sdrt.load(model, FakeBackend(), limits=sdrt.Limits(json_bytes=size)).tokenizer


@pytest.mark.parametrize("option", ["cache_dir", "lora_dir"])
def test_an_empty_folder_is_refused(option: str) -> None:
    """It would be the current one."""
    empty: Any = {option: ""}
    with pytest.raises(ConfigError, match=rf"{option} must be a path, or null, got ''"):
        sdrt.load("nano", **empty)
