"""The gate of a call: values of every option are checked for kind, range and amount before anything is opened or drawn."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sdrt
from sdrt.errors import ConfigError, SdrtError
from sdrt.option_kinds import OPTION_KINDS
from sdrt.pipeline.option_table import OPTIONS
from sdrt.values import Choice, Either
from tests.fake_backend import FakeBackend

NAMES = list(sdrt.GenerateOptions.__annotations__)


class Hostile:
    """An object that fails at whatever is asked of it."""

    def _fail(self, *_: object) -> Any:
        raise KeyError("hostile")

    __index__ = __float__ = __eq__ = __bool__ = __len__ = __iter__ = __str__ = _fail
    __hash__ = None  # type: ignore[assignment]


def test_each_option_has_a_kind_and_choices_are_declared_once() -> None:
    # a group is spread over options of its own
    assert set(OPTION_KINDS) == {name for name in NAMES if OPTIONS[name].kind != "group"}
    for name, kind in OPTION_KINDS.items():
        one = kind.kinds[0] if isinstance(kind, Either) else kind
        assert OPTIONS[name].choices == (one.choices if isinstance(one, Choice) else ())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rng": 5}, r"^rng must be the name of a noise stream, a stream or its state, got 5; "),
        ({"sampler_rng": sdrt.rng.BaseStream}, r"^sampler_rng must be the name of a noise stream, a stream or its state, got <class"),
        ({"guidance_scale": float("inf")}, r"^guidance_scale must be a finite number, got inf"),
        ({"guidance_scale": "7"}, r"^guidance_scale must be a finite number, got '7'"),
        ({"guidance_rescale": 1.5}, r"^guidance_rescale must be a finite number from 0 to 1, got 1\.5"),
        ({"guidance_batching": ["batched"]}, r"^guidance_batching must be 'batched' or 'sequential', got \['batched'\]"),
        ({"height": 2**64}, r"^height times width must be at most 67108864, got a number of more than 20 digits; raise"),
        ({"height": 2**4000}, r"^height must be a whole number of at least 1, got "),
        ({"height": 1_000_000, "width": 1_000_000}, r"^height times width must be at most 67108864, got 1000000000000; raise it"),
        ({"height": True}, r"^height must be a whole number of at least 1, got True"),
        ({"num_images": 40_000}, r"^num_images must be at most 10000, got 40000; raise it with .*images=40000"),
        ({"num_images": 2.0}, r"^num_images must be a whole number of at least 1, got 2\.0"),
        ({"num_inference_steps": 1e9}, r"^num_inference_steps must be a whole number of at least 1, got 1000000000\.0"),
        ({"num_inference_steps": 10**9}, r"^num_inference_steps must be at most 10000, got 1000000000; raise it with .*steps="),
        ({"eta": float("nan"), "scheduler": "ddim"}, r"^eta must be a finite number of at least 0, got nan"),
        ({"clip_skip": -1}, r"^clip_skip must be a whole number of at least 0, got -1"),
        ({"compat": "comfyui"}, r"^compat must be 'diffusers' or 'apple', got 'comfyui'"),
        ({"emphasis": b"original"}, r"^emphasis must be 'original' or 'no_norm', got b'original'"),
        ({"original_size": 64}, r"^original_size must be a list of 2 whose entries are each a whole number from 0 to \d+, got 64"),
        ({"sizes": sdrt.SDXLSizes(target_size=(64, "64"))}, r"^target_size must be a list of 2 whose .*, got \(64, '64'\)"),  # type: ignore[arg-type]
        ({"sizes": sdrt.SDXLSizes(aesthetic_score="6")}, r"^aesthetic_score must be a finite number, got '6'"),  # type: ignore[arg-type]
        (
            {"control_image": sdrt.ControlNetInput(image=np.zeros((8, 8), np.uint8), guidance_end=2)},
            r"^control_guidance_end must be a finite number from 0 to 1, or a list .*, got \[2\]",
        ),
        ({"control_guidance_start": []}, r"^control_guidance_start must be a finite number from 0 to 1, or a list of 1 to 1000"),
        ({"cfg": 7.5}, r"^cfg must be 'batched' or 'sequential', got 7\.5; the strength of guidance is guidance_scale=7\.5"),
        ({"cfg": "batched", "guidance_batching": "sequential"}, r"^cfg must be given once, got 'batched' beside another guidance_batching"),
    ],
    ids=str,
)
def test_a_value_of_another_kind_or_amount_is_refused_in_one_line(pipe: sdrt.Pipeline, options: dict[str, Any], message: str) -> None:
    for call in (pipe.resolve, pipe.steps, pipe.generate):
        with pytest.raises(ConfigError, match=message):
            call("a", **options)


def test_numbers_of_numpy_are_numbers_and_no_negative_prompt_is_none(pipe: sdrt.Pipeline) -> None:
    options: dict[str, Any] = {"guidance_scale": np.float32(3), "num_images": np.int64(2), "height": np.uint8(64), "seed": np.int32(7)}
    settings = pipe.resolve("a", None, **options)
    assert settings == pipe.resolve("a", "", guidance_scale=3.0, num_images=2, height=64, seed=7)
    assert [type(value) for value in (settings.guidance_scale, settings.num_images, settings.seed)] == [float, int, int]


@pytest.mark.parametrize(
    "prompt", [None, 3, [], ["a", 3], b"a", "\udcff", Hostile()], ids=["none", "number", "nothing", "list", "bytes", "half", "hostile"]
)
def test_a_prompt_is_text(pipe: sdrt.Pipeline, prompt: Any) -> None:
    with pytest.raises(ConfigError, match=r"^prompt must be a Unicode string, or a list .*, got .*; pass one text, or one for each image$"):
        pipe.resolve(prompt)
    if prompt is not None:
        with pytest.raises(ConfigError, match=r"^negative_prompt must be a Unicode string, or a list "):
            pipe.generate("a", prompt)


@pytest.mark.parametrize("name", ["on_step", "on_progress"])
def test_a_callback_is_a_function(pipe: sdrt.Pipeline, name: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{name} must be a function, got 3; pass such a value$"):
        pipe.generate("a", **{name: 3})  # type: ignore[arg-type]


def test_limits_are_those_that_the_pipeline_was_loaded_with(folder: Path) -> None:
    strict = sdrt.load(folder, FakeBackend(), limits=sdrt.Limits(images=2, pixels=64 * 64, steps=3, prompt_characters=10))
    strict.resolve("a", num_images=2, num_inference_steps=3)
    refused: list[tuple[dict[str, Any], str]] = [
        ({"num_images": 3}, "num_images must be at most 2, got 3"),
        ({"height": 72}, "height times width must be at most 4096, got 4608"),
        ({"num_inference_steps": 4}, "num_inference_steps must be at most 3, got 4"),
    ]
    for options, message in refused:
        with pytest.raises(ConfigError, match=message):
            strict.resolve("a", **{"num_inference_steps": 3, **options})
    with pytest.raises(ConfigError, match=r"characters of a prompt must be at most 10, got 11"):
        strict.resolve("a" * 11, num_inference_steps=3)


ANY_VALUE = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=5),
        st.binary(max_size=3),
        st.sampled_from(
            [Hostile(), np.zeros(3), np.zeros((2, 2)), object, len, 2**64, 10**400, np.float32("nan"), {1: 2}, {"stream": "torch"}]
        ),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=2)),
)


@given(name=st.sampled_from(NAMES), value=ANY_VALUE)
def test_any_value_of_any_option_is_taken_or_refused_and_nothing_else(pipe: sdrt.Pipeline, name: str, value: Any) -> None:
    try:
        settings = pipe.resolve("a", **{name: value})
    except SdrtError:
        return
    assert sdrt.Settings.from_dict(settings.to_dict()) == settings
