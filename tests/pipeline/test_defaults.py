"""What a call assumes where neither caller nor model says it, and what it says of options without effect."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import sdrt
from sdrt.errors import ConfigError, ModelError
from tests.factories import Form, save_pipeline_folder
from tests.fake_backend import FakeBackend

LCM = {"_class_name": "LCMScheduler", "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Any:
    root, made = tmp_path_factory.mktemp("models"), {}

    def folder(form: Form) -> Path:
        if form not in made:
            made[form] = save_pipeline_folder(root / form, form)
        return made[form]

    return folder


@pytest.fixture(scope="module")
def lcm(models: Any) -> Path:
    """A latent consistency model with its own scheduler."""
    folder: Path = models("lcm")
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(LCM))
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {"scheduler": ["diffusers", LCM["_class_name"]]}))
    return folder


def test_a_latent_consistency_model_takes_the_few_steps_of_its_peer(lcm: Path, models: Any) -> None:
    """The defaults of diffusers' LatentConsistencyModelPipeline."""
    import inspect

    from diffusers import LatentConsistencyModelPipeline

    peer = inspect.signature(LatentConsistencyModelPipeline.__call__).parameters
    pipe = sdrt.load(lcm)
    settings = pipe.resolve("a")
    assert settings.num_inference_steps == peer["num_inference_steps"].default == 4
    assert settings.guidance_scale == peer["guidance_scale"].default == 8.5
    assert settings.remarks["assumed defaults"] == "num_inference_steps=4, guidance_scale=8.5, as for latent consistency models"
    assert pipe.resolve("a", guidance_scale=3).remarks["assumed defaults"] == "num_inference_steps=4, as for latent consistency models"
    both = pipe.resolve("a", guidance_scale=3, num_inference_steps=2)
    assert (both.guidance_scale, both.num_inference_steps, both.remarks) == (3, 2, {})
    for other in (pipe.resolve("a", scheduler="ddim"), sdrt.load(models("sd1")).resolve("a", scheduler="ddim")):
        assert (other.num_inference_steps, other.guidance_scale, other.remarks) == (50, 7.5, {})


def test_guidance_that_is_an_input_is_not_rescaled(lcm: Path) -> None:
    pipe = sdrt.load(lcm)
    with pytest.raises(ConfigError, match=r"guidance_rescale must be 0 for this model, whose U-Net takes the scale as an input, got 0\.5"):
        pipe.resolve("a", guidance_rescale=0.5)
    assert pipe.resolve("a", "b").remarks["ignored negative_prompt"] == "this model takes the scale of guidance as an input of its U-Net"


def test_options_without_effect_are_said(models: Any) -> None:
    pipe = sdrt.load(models("sd1"))
    off = "guidance is off at guidance_scale 1"
    silent = pipe.resolve("a", "b", guidance_scale=1, guidance_rescale=0.5, sampler_seed=3, sampler_rng="nv", scheduler="euler")
    assert silent.remarks == {
        "ignored negative_prompt": off,
        "ignored guidance_rescale": off,
        "ignored sampler_rng": "euler draws no fresh noise",
        "ignored sampler_seed": "euler draws no fresh noise",
    }
    assert pipe.resolve("a", "b", guidance_rescale=0.5, sampler_seed=3, scheduler="euler a").remarks == {}


def test_scores_and_the_start_of_a_refiner_need_a_refiner(models: Any) -> None:
    base, alone = sdrt.load(models("sdxl")), sdrt.load(models("sdxl-refiner"))
    for options in ({"aesthetic_score": 7}, {"sizes": sdrt.SDXLSizes(negative_aesthetic_score=2)}, {"refiner_start": 0.5}):
        with pytest.raises(ConfigError, match=r"is for a pipeline with a refiner, sdrt\.load\(\.\.\., refiner=folder\); leave it out"):
            base.resolve("a", **options)
    assert alone.resolve("a", aesthetic_score=7).conditions == {"aesthetic_score": 7}
    both = sdrt.load(models("sdxl"), refiner=models("sdxl-refiner"))
    assert both.resolve("a", aesthetic_score=7).conditions == {"aesthetic_score": 7, "refiner_start": 0.8}


def test_a_refiner_that_has_no_step_is_said(models: Any) -> None:
    both = sdrt.load(models("sdxl"), refiner=models("sdxl-refiner"))
    told = both.resolve("a", refiner_start=1).remarks["ignored refiner"]
    assert told == "none of the run's timesteps is below those where it begins, at refiner_start 1"
    assert both.resolve("a", num_inference_steps=10).remarks == {}


def test_preferences_of_a_model_pass_the_same_gate(tmp_path: Path) -> None:
    folder = save_pipeline_folder(tmp_path / "sd1")
    (folder / "sdrt.json").write_text('{"num_inference_steps": "20"}')
    with pytest.raises(ModelError, match=r"num_inference_steps must be a whole number of at least 1, got '20'"):
        sdrt.load(folder, FakeBackend()).resolve("a")


# ---- seeds


def test_minus_one_draws_a_seed_as_none_does(models: Any) -> None:
    pipe = sdrt.load(models("sd1"))
    seeds = {pipe.resolve("a", seed=seed).seed for seed in (-1, None, -1, None)}
    assert len(seeds) == 4
    assert all(0 <= seed < 2**31 for seed in seeds)
    stream = sdrt.rng.stream("torch", 7)
    assert pipe.resolve("a", seed=-1, rng=stream).seed == 7


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": -2}, r"seed must be a whole number of at least -1, .*, got -2"),
        ({"sampler_seed": -1}, r"sampler_seed must be a whole number of at least 0, got -1"),
        ({"seed": 2**64}, r"seed of the 'torch' stream must be .*18446744073709551616"),
        ({"seed": 2**64 - 1, "num_images": 2}, r"seed of the 'torch' stream must be .*18446744073709551616"),
        ({"seed": 2**32, "rng": "numpy"}, r"seed of the 'numpy' stream must be .*4294967296"),
    ],
    ids=str,
)
def test_other_seeds_are_refused_by_the_rule_of_their_stream(models: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        sdrt.load(models("sd1")).resolve("a", **options)


# ---- the size of a picture that is changed


@pytest.mark.parametrize(
    ("options", "expected"),
    [({}, (72, 104)), ({"height": 64, "width": 64}, (64, 64)), ({"height": 144}, (144, 200)), ({"width": 48}, (32, 48))],
    ids=str,
)
def test_a_picture_is_changed_at_its_own_size(models: Any, options: dict[str, Any], expected: tuple[int, int]) -> None:
    image, mask = np.zeros((73, 101, 3), np.uint8), Image.new("L", (101, 73), 255)
    settings = sdrt.load(models("inpaint")).resolve("a", image=image, mask_image=mask, **options)
    assert (settings.height, settings.width) == expected


def test_a_controlnet_says_which_guidance_suits_it() -> None:
    with sdrt.load("nano", controlnet="nano-edges") as pipe:
        edges = np.zeros((128, 128), np.uint8)
        assert pipe.resolve("a", control_image=edges).guidance_scale == 2.0
        assert pipe.resolve("a", control_image=edges, guidance_scale=4).guidance_scale == 4.0
        assert pipe.resolve("a", control_image=edges).num_inference_steps == sdrt.load("nano").resolve("a").num_inference_steps
