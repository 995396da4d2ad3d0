"""Lists of prompts and seeds in one call, and variations: each image is the one that its own call draws."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sdrt
from sdrt.errors import ConfigError
from tests.factories import save_pipeline_folder
from tests.fake_backend import FakeBackend
from tests.pictures import psnr

QUICK: dict[str, Any] = {"num_inference_steps": 2, "scheduler": "euler a"}
BOUND = 2e-5


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pipeline_folder(tmp_path_factory.mktemp("model") / "sd1")


@pytest.fixture(scope="module")
def pipe(folder: Path) -> sdrt.Pipeline:
    return sdrt.load(folder, threads=1)


@pytest.fixture(scope="module")
def fake(folder: Path) -> sdrt.Pipeline:
    return sdrt.load(folder, FakeBackend())


def words(chunks: int, word: str) -> str:
    """A prompt of this many chunks."""
    return " ".join([word] * (75 * chunks - 5))


def alone(result: sdrt.Result, k: int) -> dict[str, Any]:
    """The options that the record of one picture plays back."""
    return result.settings.alone(k).options()


texts = st.sampled_from(["", "red", "blue circle", words(2, "red"), words(3, "blue")])


@settings(max_examples=25)
@given(data=st.data())
def test_each_image_of_lists_is_the_one_that_is_drawn_alone(fake: sdrt.Pipeline, data: st.DataObject) -> None:
    count = data.draw(st.integers(2, 4))
    of_each: dict[str, Any] = {
        "prompt": data.draw(st.lists(texts, min_size=count, max_size=count) | texts | st.lists(texts, min_size=1, max_size=1)),
        "negative_prompt": data.draw(st.lists(texts, min_size=count, max_size=count) | texts),
        "seed": data.draw(st.lists(st.integers(0, 99), min_size=count, max_size=count) | st.integers(0, 99)),
    }
    others: list[dict[str, Any]] = [{}, {"guidance_batching": "sequential"}, {"long_prompts": "pad"}, {"rng": "nv"}, {"sampler_seed": 99}]
    more: dict[str, Any] = data.draw(st.sampled_from(others))
    result = fake.generate(**of_each, num_images=count, **QUICK, **more)
    assert len(result.images) == count
    for k in range(count):
        own: dict[str, Any] = {name: value[k % len(value)] if isinstance(value, list) else value for name, value in of_each.items()}
        if not isinstance(of_each["seed"], list):
            own["seed"] = of_each["seed"] + k
        assert result.seeds[k] == own["seed"]
        second: dict[str, Any] = {"sampler_seed": 99 + own["seed"] - result.seeds[0]} if "sampler_seed" in more else {}
        single = fake.generate(**own | QUICK | more | second)
        np.testing.assert_allclose(result.latents[k : k + 1], single.latents, atol=BOUND)
        assert result.settings.alone(k) == single.settings
    assert fake.resolve(**result.settings.options()) == result.settings


@pytest.mark.parametrize("more", [{}, {"guidance_batching": "sequential"}, {"guidance_scale": 1.0}])
def test_prompts_of_several_lengths_stay_themselves(pipe: sdrt.Pipeline, more: dict[str, Any]) -> None:
    """One, two and four chunks beside negative prompts of one and three, which no batch can attend to at once."""
    prompts, negatives = ["red", words(2, "red"), words(4, "blue circle")[:400]], ["", words(3, "blue"), "circle"]
    result = pipe.generate(prompts, negatives, seed=[7, 3, 5], **QUICK, **more)
    bound = BOUND * np.abs(result.latents).max()
    for k in range(3):
        single = pipe.generate(prompts[k], negatives[k], seed=result.seeds[k], **QUICK, **more)
        np.testing.assert_allclose(result.latents[k : k + 1], single.latents, atol=bound)
    other = pipe.generate(prompts[::-1], negatives, seed=[7, 3, 5], **QUICK, **more)
    assert np.abs(other.latents - result.latents).max() > 100 * bound, "the prompts move nothing"


def test_sdxls_two_encoders_take_lists_too(tmp_path: Path) -> None:
    pipe = sdrt.load(save_pipeline_folder(tmp_path / "sdxl", "sdxl"), threads=1)
    prompts = ["red", words(2, "blue")]
    result = pipe.generate(prompts, seed=3, **QUICK)
    for k in range(2):
        single = pipe.generate(prompts[k], seed=3 + k, **QUICK)
        np.testing.assert_allclose(result.latents[k : k + 1], single.latents, atol=BOUND * np.abs(single.latents).max())


def test_pictures_of_lists_are_named_and_recorded_each_for_itself(fake: sdrt.Pipeline, tmp_path: Path) -> None:
    result = fake.generate(["a", "b"], seed=[9, 1], **QUICK)
    files = result.save(tmp_path)
    assert [file.name for file in files] == ["a.9.png", "b.1.png"]
    assert repr(result) == "Result(2 images, 64x64, seeds 9, 1, 2 steps of 'euler a')"
    for k, file in enumerate(files):
        read = sdrt.Settings.from_file(file)
        assert read == result.settings.alone(k)
        assert fake.generate(**read.options()).images[0].tobytes() == result.images[k].tobytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompt": ["a", "b"], "num_images": 3}, r"prompt must be one for all 3 images or one for each, got 2"),
        ({"prompt": ["a", "b"], "seed": [1, 2, 3]}, r"prompt must be one for all 3 images or one for each, got 2"),
        (
            {"prompt": "a", "seed": [1, 2], "rng": sdrt.rng.stream("torch", 3)},
            r"seed must be one number beside a 'torch' stream object, got 2",
        ),
        ({"prompt": "a", "seed": []}, r"seed must be a whole number of at least -1, or a list of at least 1"),
        ({"prompt": "a", "seed": [9, 1], "sampler_seed": 3}, r"sampler_seed must be at least 8 for these seeds, got 3"),
        ({"prompt": "a", "subseed_strength": 1.5}, r"subseed_strength must be a finite number from 0 to 1, got 1\.5"),
        ({"prompt": "a", "seed_resize_from": (8, 4)}, r"seed_resize_from must be at least 8 pixels a side for this model, got 8x4"),
        ({"prompt": "a", "seed_resize_from": (10**8, 10**8)}, r"height times width of seed_resize_from must be at most"),
        ({"prompt": "a", "subseed_strength": 0.5, "rng": sdrt.rng.stream("torch", 3)}, r"a variation needs a named stream"),
    ],
    ids=str,
)
def test_what_does_not_fit_together_is_one_error(fake: sdrt.Pipeline, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        fake.generate(**options, **QUICK)


def test_a_list_of_one_is_for_all_images_and_each_seed_that_is_asked_for_is_drawn(fake: sdrt.Pipeline) -> None:
    assert fake.resolve(["a"], seed=[5], num_images=2) == fake.resolve("a", seed=5, num_images=2)
    drawn = fake.resolve("a", seed=[-1, 7, -1])
    assert (drawn.seeds[1], -1 in drawn.seeds, len(set(drawn.seeds))) == (7, False, 3)


# ---- variations


def draw(pipe: sdrt.Pipeline, **options: Any) -> sdrt.Result:
    every: dict[str, Any] = {"seed": 93, "num_inference_steps": 2, "scheduler": "ddim"} | options
    return pipe.generate("a red circle", **every)


def test_a_variation_lies_between_the_pictures_of_two_seeds(pipe: sdrt.Pipeline) -> None:
    one, other = (np.asarray(draw(pipe, seed=seed).images[0]) for seed in (93, 7))
    varied = [np.asarray(draw(pipe, subseed=7, subseed_strength=strength).images[0]) for strength in (0.0, 0.1, 0.5, 1.0)]
    assert varied[0].tobytes() == one.tobytes()
    assert psnr(varied[3], other) > 60
    nearness = [psnr(each, one) for each in varied[1:]]
    assert nearness == sorted(nearness, reverse=True)
    assert nearness[0] < 40


def test_the_images_of_a_variation_share_the_seed_and_count_the_subseed(fake: sdrt.Pipeline) -> None:
    result = draw(fake, subseed=7, subseed_strength=0.3, num_images=3, scheduler="euler a", seed_resize_from=(32, 128))
    assert result.seeds == (93, 93, 93)
    for k in range(3):
        single = draw(fake, subseed=7 + k, subseed_strength=0.3, scheduler="euler a", seed_resize_from=(32, 128))
        assert single.latents.tobytes() == result.latents[k : k + 1].tobytes()
        assert result.settings.alone(k) == single.settings
    listed = draw(fake, seed=[93, 94], subseed=7, subseed_strength=0.3)
    assert listed.seeds == (93, 94)
    random = draw(fake, subseed_strength=0.3).settings
    assert random.subseed is not None


def test_a_variation_without_effect_is_remarked(fake: sdrt.Pipeline) -> None:
    assert draw(fake, subseed=7).settings.remarks["ignored subseed"] == "subseed_strength is 0"
    latents = np.zeros((1, 4, 8, 8), np.float32)
    remarks = draw(fake, subseed_strength=0.5, latents=latents).settings.remarks
    assert remarks["ignored subseed_strength"] == "the noise of the start was passed as latents"
