"""A record is read back as it was written, also one of an older version, and refuses what it does not know."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import sdrt.rng
from sdrt.errors import ConfigError, ImageError
from sdrt.images.inputs import digest
from sdrt.images.png import save_png
from sdrt.records import Settings, text_chunks

# As 0.1.0 wrote it: `result.settings.to_dict()` of a call on `nano`.
OF_0_1_0: dict[str, Any] = {
    "prompt": "a red circle", "negative_prompt": "", "seed": 93, "num_images": 1, "num_inference_steps": 2, "guidance_scale": 3.0,
    "guidance_rescale": 0.0, "cfg": "sequential", "eta": 0.0, "height": 128, "width": 128, "conditions": {}, "scheduler": "euler a",
    "scheduler_config": {"_class_name": "EulerAncestralDiscreteScheduler", "beta_end": 0.012, "sigma_max": "inf"}, "compat": None,
    "rng": "torch", "sampler_rng": None, "sampler_seed": None, "shared_streams": {}, "prompt_syntax": "weighted", "long_prompts": "chunk",
    "emphasis": "no norm", "clip_skip": 0, "embeddings": {}, "model": "nano", "backend": {"unet": "numpy"}, "numerics": "float32",
    "version": "0.1.0",
}  # fmt: skip
SETTINGS = Settings.from_dict(OF_0_1_0)

numbers = st.floats(allow_nan=False, allow_infinity=False)
words = st.text(max_size=20)
digests = st.text("0123456789abcdef", min_size=64, max_size=64)
values = st.one_of(st.none(), st.booleans(), st.integers(), numbers, words.filter(lambda word: word not in ("inf", "-inf", "nan")))
settings = st.builds(
    replace,
    st.just(SETTINGS),
    prompt=words,
    negative_prompt=words,
    seed=st.integers(-(2**63), 2**128),
    num_images=st.integers(1),
    guidance_scale=numbers,
    guidance_batching=st.sampled_from(["batched", "sequential"]),
    eta=st.floats(0, 1e9),
    scheduler_config=st.dictionaries(words, values | st.sampled_from([math.inf, -math.inf])),
    scheduler_options=st.dictionaries(words, values | st.just(math.inf)),
    conditions=st.fixed_dictionaries(
        {},
        optional={
            "image": digests | st.lists(digests),
            "record_paths": st.dictionaries(words, words.filter(bool) | st.lists(st.none() | words.filter(bool))),
            "control_image": digests | st.lists(digests),
            "control_guidance_end": st.lists(st.floats(0, 1), min_size=1),
            "target_size": st.lists(st.integers(0, 10**6), min_size=2, max_size=2),
            "refiner_start": st.floats(0, 1, exclude_min=True),
        },
    ),
    sampler_seed=st.none() | st.integers(0, 2**128),
    subseed=st.none() | st.integers(-1, 2**128),
    subseed_strength=st.floats(0, 1),
    seed_resize_from=st.none() | st.tuples(st.integers(1, 10**6), st.integers(1, 10**6)),
    compat=st.none() | st.just("apple"),
    embeddings=st.dictionaries(words, words),
    remarks=st.dictionaries(words, words),
    vae_tiling=st.booleans(),
)


@given(settings=settings)
def test_a_record_comes_back_from_json(settings: Settings) -> None:
    record = json.loads(json.dumps(settings.to_dict(), allow_nan=False))
    assert Settings.from_dict(record) == settings
    assert record["format"] == 3


def test_a_record_of_0_1_0_is_read_in_todays_words() -> None:
    assert SETTINGS.guidance_batching == "sequential"
    assert SETTINGS.emphasis == "no_norm"
    assert SETTINGS.scheduler_config["sigma_max"] == math.inf
    assert (SETTINGS.scheduler_options, SETTINGS.vae_tiling, SETTINGS.version) == ({}, False, "0.1.0")


def test_one_stream_that_0_1_0_recorded_twice_is_one_stream() -> None:
    state = sdrt.rng.stream("torch", 3).state
    twice = OF_0_1_0 | {"shared_streams": {"rng": state, "sampler_rng": state}, "sampler_rng": "torch"}
    assert (Settings.from_dict(twice).shared_streams, Settings.from_dict(twice).sampler_rng) == ({"rng": state}, None)


def test_negative_seeds_and_filled_up_prompts_of_older_records_are_read_as_what_they_drew() -> None:
    """A seed of torch's streams counts by its lowest 32 bits, nv's by 64."""
    old = OF_0_1_0 | {"seed": -5, "sampler_seed": -1, "sampler_rng": "nv"}
    read = Settings.from_dict(old)
    assert (read.seed, read.sampler_seed, read.long_prompts) == (2**32 - 5, 2**64 - 1, "pad")
    for name, before, after in (("torch", -5, read.seed), ("torch-scalar", -5, read.seed), ("nv", -1, 2**64 - 1)):
        assert (sdrt.rng.stream(name, before).normal(40) == sdrt.rng.stream(name, after).normal(40)).all()
    shared = old | {"shared_streams": {"rng": sdrt.rng.stream("torch", -5).state}, "sampler_seed": None, "sampler_rng": None}
    options = Settings.from_dict(shared).options()
    assert "seed" not in options
    assert options["rng"]["seed"] == -5
    today = Settings.from_dict(old).to_dict()
    assert Settings.from_dict(today | {"long_prompts": "chunk"}).long_prompts == "chunk"


def test_conditions_that_a_base_model_ignored_are_left_out_of_older_records() -> None:
    scores = {"aesthetic_score": 7.0, "refiner_start": 0.5}
    old = OF_0_1_0 | {"format": 2, "emphasis": "original", "guidance_batching": "batched", "conditions": {"target_size": [8, 8], **scores}}
    del old["cfg"]
    for weights, kept in (({"text_encoder": "a", "unet": "b"}, {}), ({"text_encoder": "a", "refiner.unet": "b"}, scores), ({}, scores)):
        assert Settings.from_dict(old | {"weights": weights}).conditions == {"target_size": [8, 8], **kept}


def test_a_picture_carries_its_record(tmp_path: Path) -> None:
    batch = replace(SETTINGS, num_images=3, sampler_seed=7)
    save_png(Image.new("RGB", (8, 8)), tmp_path / "second.png", text_chunks(batch, 94))
    assert Settings.from_png(tmp_path / "second.png") == replace(batch, seed=94, num_images=1, sampler_seed=8)
    shared = replace(batch, sampler_seed=None, shared_streams={"rng": sdrt.rng.stream("torch", 93).state})
    save_png(Image.new("RGB", (8, 8)), tmp_path / "shared.png", text_chunks(shared, 94))
    assert Settings.from_png(tmp_path / "shared.png") == shared


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 4}, r"a record's format must be 1 to 3, got 4; update sdrt to read it"),
        ({"format": "2"}, r"a record's format must be 1 to 3, got '2'"),
        ({"format": True}, r"a record's format must be 1 to 3, got True"),
        ({"glitter": 1}, r"a record must have known fields, got 'glitter', written by sdrt '0\.1\.0'; update sdrt to read it"),
        ({"prompt": None}, r"a record's prompt must be a Unicode string, got None; take a whole record"),
        ({"compat": 1}, r"compat must be 'diffusers' or 'apple', or null, got 1"),
        ({"scheduler_config": []}, r"scheduler_config must be a mapping whose values are each a number, or a value of JSON, got \[\]"),
        ({"scheduler_config": {"beta_end": "nan"}}, r"scheduler_config must be a mapping.*, got \{'beta_end': nan\}"),
        ({"conditions": {"target_size": [64, "64"]}}, r"target_size must be a list of 2 whose entries are .*got \[64, '64'\]"),
        ({"conditions": {"mask": 1}}, r"a record's conditions must be among image, mask_image, .*, got 'mask'"),
        ({"conditions": {"image": "ab"}}, r"a record's image must be the SHA-256 of a picture, or a list .*, got 'ab'; take a whole"),
        (
            {"conditions": {"control_image": ["ab", 3]}},
            r"a record's control_image must be the SHA-256 of a picture, or a list .*\['ab', 3\]",
        ),
        (
            {"shared_streams": {"rng": {"cursor": float("inf")}}},
            r"a record's rng must be a mapping.*, got \{'cursor': inf",
        ),
        ({"shared_streams": {"rng": 3}}, r"a record's rng must be a mapping whose .*, got 3; take a whole record"),
        ({"shared_streams": {"dice": {}}}, r"a record's shared_streams must be among rng, sampler_rng, got 'dice'"),
        (
            {"scheduler_options": {"order": [[[[[[[2]]]]]]]}},
            r"scheduler_options must be a mapping whose values are each a number, or a value of JSON",
        ),
        ({"vae_tiling": "yes"}, r"vae_tiling must be true or false, got 'yes'"),
        ({"seed": "93"}, r"a record's seed must be a whole number, got '93'"),
        ({"guidance_scale": float("nan")}, r"guidance_scale must be a finite number, got nan"),
        ({"cfg": "both"}, r"guidance_batching must be 'batched' or 'sequential', got 'both'"),
        ({"image": -1}, r"a record's image must be a whole number of at least 0, got -1"),
        ({"flagged": "no"}, r"a record's flagged must be true or false, got 'no'"),
    ],
    ids=str,
)
def test_a_record_is_read_strictly(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Settings.from_dict(OF_0_1_0 | change)


class Unfriendly:
    """What fails when it is compared, or asked whether it is true."""

    def _fail(self, *_: object) -> Any:
        raise RuntimeError("no truth")

    __eq__ = __ne__ = __bool__ = __len__ = _fail
    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize("name", sorted(OF_0_1_0))
def test_no_field_of_an_older_record_is_compared_before_it_is_checked(name: str) -> None:
    for value in (Unfriendly(), np.zeros(0), {"rng": Unfriendly(), "sampler_rng": Unfriendly()}):
        with pytest.raises(ConfigError):
            Settings.from_dict(OF_0_1_0 | {name: value})


def test_a_field_that_is_missing_is_named() -> None:
    with pytest.raises(ConfigError, match=r"a record must have the field scheduler, got none; take a whole record"):
        Settings.from_dict({key: value for key, value in OF_0_1_0.items() if key != "scheduler"})
    with pytest.raises(ConfigError, match=r"a record must be a mapping, got list; pass the result of Settings\.to_dict"):
        Settings.from_dict([1])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ({}, r"must hold a record of sdrt, got none"),
        ({"sdrt": "{"}, r"its record must be JSON, got a damaged one"),
        ({"sdrt": "[]"}, r"its record must be a JSON object, got list"),
    ],
)
def test_a_picture_without_a_record_says_so(tmp_path: Path, text: dict[str, str], message: str) -> None:
    save_png(Image.new("RGB", (8, 8)), tmp_path / "a.png", text)
    with pytest.raises(ImageError, match=rf"a\.png: {message}"):
        Settings.from_png(tmp_path / "a.png")


# ---- the options of a record


def test_the_options_are_values_of_json_and_the_scheduler_keeps_its_name() -> None:
    options = SETTINGS.options()
    assert options["scheduler"]["_sdrt"] == {"name": "euler a", "options": {}}
    assert options["scheduler"]["sigma_max"] == math.inf
    del options["scheduler"]["sigma_max"]
    assert json.loads(json.dumps(options, allow_nan=False)) == options


def test_pictures_must_be_passed_again_and_are_compared() -> None:
    one, two = np.zeros((8, 8, 3), np.uint8), np.ones((8, 8, 3), np.uint8)
    hashes = [digest("", one), digest("", two)]
    painted = replace(SETTINGS, conditions={"image": hashes[0], "control_image": hashes, "control_guidance_end": [0.5, 1.0]})
    options = painted.options(image=one, control_image=[one, two])
    assert options["image"] is one
    assert [id(each) for each in options["control_image"]] == [id(one), id(two)]
    assert options["control_guidance_end"] == [0.5, 1.0]
    for passed, message in (
        ({}, rf"image must be passed again, as the record holds its SHA-256 alone \({hashes[0][:12]}\); pass the same pixels as image"),
        (
            {"image": two, "control_image": [one, two]},
            rf"image must be the recorded picture, SHA-256 {hashes[0][:12]}, got {hashes[1][:12]}",
        ),
        ({"image": one, "control_image": one}, r"control_image must be 2 pictures, as recorded, got 1; pass them in their order"),
        (
            {"image": one, "control_image": [one, two], "mask_image": one},
            r"pictures must be ones that the record names, got mask_image too; leave it out",
        ),
    ):
        with pytest.raises(ConfigError, match=message):
            painted.options(**passed)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shared_streams": {"rng": {"stream": "given", "cursor": 3}}}, r"rng must be passed again"),
        ({"shared_streams": {"rng": {"stream": "given"}}}, r"rng must be passed again"),
        ({"shared_streams": {"rng": {}}}, r"rng must be passed again, as the record cannot make the stream None"),
    ],
    ids=str,
)
def test_a_damaged_record_is_refused_when_it_is_played_back(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(SETTINGS, **change).options()


def test_noise_that_was_given_must_be_passed_again() -> None:
    arrays = [np.zeros((1, 4, 8, 8), np.float32)]
    state = sdrt.rng.from_arrays(arrays).state
    shared = replace(SETTINGS, rng="given", shared_streams={"rng": state})
    with pytest.raises(ConfigError, match=r"rng must be passed again, .* SHA-256 of its arrays alone \(\w{12}\); .*from_arrays"):
        shared.options()
    stream = sdrt.rng.from_arrays(arrays)
    stream.normal((1, 4, 8, 8))
    assert shared.options(rng=stream)["rng"] is stream
    assert stream.state == state
    with pytest.raises(ConfigError, match="same arrays"):
        shared.options(rng=sdrt.rng.from_arrays([np.ones((1, 4, 8, 8), np.float32)]))
    with pytest.raises(ConfigError, match=r"streams must be ones that the record shares, got rng too; leave it out"):
        SETTINGS.options(rng=stream)


def test_a_stream_of_somebody_elses_must_be_passed_again() -> None:
    shared = replace(SETTINGS, shared_streams={"rng": {"stream": "dice", "seed": 3}})
    with pytest.raises(ConfigError, match=r"rng must be passed again, as the record cannot make the stream 'dice'"):
        shared.options()
