"""When and how the calls of a run are guided: rows saved, steps counted, records, and what does not fit."""

import threading
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sdrt
from sdrt.errors import ConfigError
from sdrt.guidance import ClassifierFreeGuidance, ScheduledGuidance, Unguided
from sdrt.pipeline.options import given_options
from tests.factories import save_pipeline_folder, save_refiner_folder
from tests.fake_backend import FakeBackend
from tests.pictures import psnr

PROMPT = "a red circle on a blue background"
SMALL: dict[str, Any] = {"seed": 93, "height": 64, "width": 64, "guidance_scale": 9.0}
FRACTION = st.floats(0, 1)


@pytest.fixture(scope="module")
def pipe() -> sdrt.Pipeline:
    return sdrt.load("nano", threads=1)


@cache
def fake() -> sdrt.Pipeline:
    return sdrt.load("nano", FakeBackend())


def rows_of(**options: Any) -> list[int]:
    """How many rows the U-Net predicts in each call."""
    backend = FakeBackend()
    sdrt.load("nano", backend).generate(PROMPT, **(SMALL | options))
    return backend.rows


def guidances_of(pipe: sdrt.Pipeline, **options: Any) -> Any:
    """The guidance from each call on at which it changes."""
    return pipe._resolve(PROMPT, "", given_options(SMALL | options)).guidances


# ---- the interval


@pytest.mark.parametrize(
    ("interval", "rows"),
    [
        ({}, [2] * 10),
        ({"guidance_start": 0.2}, [1, 1, *[2] * 8]),
        ({"guidance_end": 0.5}, [*[2] * 5, *[1] * 5]),
        ({"guidance_start": 0.1, "guidance_end": 0.8}, [1, *[2] * 7, 1, 1]),
        # 0.29 of 100 are 28.999999999999996; of 10, 2.9
        ({"guidance_start": 0.29}, [1, 1, *[2] * 8]),
        ({"guidance_start": 0.96, "guidance_end": 0.99}, [1] * 10),
    ],
)
def test_calls_outside_the_interval_predict_one_row(interval: dict[str, float], rows: list[int]) -> None:
    assert rows_of(num_inference_steps=10, **interval) == rows


@settings(max_examples=25, deadline=None)
@given(FRACTION, FRACTION, st.integers(1, 40))
def test_steps_are_counted_as_diffusers_guiders_count_them(start: float, end: float, steps: int) -> None:
    from diffusers.guiders import ClassifierFreeGuidance as Guider

    pipe = fake()
    if not start < end:
        with pytest.raises(ConfigError, match=r"^guidance_start must be below guidance_end, got "):
            pipe.resolve(PROMPT, guidance_start=start, guidance_end=end)
        return
    guidances = guidances_of(pipe, num_inference_steps=steps, guidance_start=start, guidance_end=end)
    ours = [[each for begins, each in guidances if begins <= k][-1] for k in range(steps)]
    guider = Guider(9.0, start=start, stop=end)
    for k, guidance in enumerate(ours):
        guider.set_state(k, steps, None)
        # a product within rounding of a whole number is that number here
        if all(abs(share * steps - round(share * steps)) > 1e-9 for share in (start, end)):
            assert len(guidance.rows) == guider.num_conditions


def test_all_calls_of_a_step_are_guided_or_none() -> None:
    """Heun calls twice a step, but for the last."""
    assert rows_of(num_inference_steps=4, scheduler="heun", guidance_start=0.5) == [1, 1, 1, 1, 2, 2, 2]


def test_of_a_picture_the_steps_that_are_made_are_counted() -> None:
    latents = np.zeros((1, 4, 8, 8), np.float32)
    assert rows_of(num_inference_steps=10, image_latents=latents, strength=0.4, guidance_start=0.5) == [1, 1, 2, 2]


def test_a_guided_call_in_an_interval_is_the_same_call(pipe: sdrt.Pipeline) -> None:
    """The first two calls are those of a run without guidance, the others go on from there as guided ones would."""
    outputs: dict[str, list[np.ndarray]] = {}
    for name, options in {"off": {"guidance_scale": 1.0}, "late": {"guidance_start": 0.5}, "on": {}}.items():
        steps = pipe.steps(PROMPT, num_inference_steps=4, scheduler="ddim", **(SMALL | options))
        outputs[name] = [step.latents.copy() for step in steps]
    for k in range(2):
        np.testing.assert_array_equal(outputs["late"][k], outputs["off"][k])
    assert psnr(outputs["late"][2], outputs["off"][2]) < 60
    assert np.abs(outputs["late"][0] - outputs["on"][0]).max() > 0.01


# ---- the schedule


def test_scales_of_a_list_are_those_of_the_steps() -> None:
    scales = [3.0, 1.0, 0.5, 7.5, 7.5]
    assert rows_of(num_inference_steps=5, guidance_schedule=scales) == [2, 1, 1, 2, 2]
    pipe = sdrt.load("nano", FakeBackend())
    guidances = guidances_of(pipe, num_inference_steps=5, guidance_schedule=scales)
    assert guidances == ((0, ClassifierFreeGuidance(3.0)), (1, Unguided()), (3, ClassifierFreeGuidance(7.5)))


def test_a_list_of_one_scale_is_that_scale(pipe: sdrt.Pipeline) -> None:
    plain = pipe.generate(PROMPT, num_inference_steps=3, **SMALL).latents
    schedules: list[Any] = ["constant", [9.0] * 3]
    for schedule in schedules:
        np.testing.assert_array_equal(pipe.generate(PROMPT, num_inference_steps=3, guidance_schedule=schedule, **SMALL).latents, plain)


def test_a_schedule_holds_within_the_interval_and_for_each_call_of_a_step() -> None:
    options: dict[str, Any] = {"scheduler": "heun", "guidance_schedule": "linear", "guidance_end": 0.5}
    guidances = guidances_of(sdrt.load("nano", FakeBackend()), num_inference_steps=4, **options)
    [(_, first), (begins, last)] = guidances
    assert isinstance(first, ScheduledGuidance)
    assert [each.scale for each in first.guidances if isinstance(each, ClassifierFreeGuidance)] == [3.0, 3.0, 7.0, 7.0]
    assert (begins, last) == (4, Unguided())


# ---- what an option does, on the embedded model


CHANGES: dict[str, dict[str, Any]] = {
    "guidance_end": {"guidance_end": 0.5},
    "guidance_schedule": {"guidance_schedule": "cosine"},
    "apg": {"apg": sdrt.APG(norm_threshold=3.0)},
    "dynamic_thresholding": {"dynamic_thresholding": sdrt.DynamicThresholding(mimic_scale=3.0)},
}


@pytest.mark.parametrize("name", CHANGES)
def test_numpy_and_torch_draw_the_same_and_the_record_draws_it_again(pipe: sdrt.Pipeline, name: str) -> None:
    options = SMALL | {"num_inference_steps": 3} | CHANGES[name]
    result = pipe.generate(PROMPT, "blurry", **options)
    picture = np.asarray(result.images[0])
    assert psnr(picture, np.asarray(pipe.generate(PROMPT, "blurry", **(SMALL | {"num_inference_steps": 3})).images[0])) < 40
    with sdrt.load("nano", "torch", threads=1) as torch:
        assert psnr(picture, np.asarray(torch.generate(PROMPT, "blurry", **options).images[0])) >= 60
    settings = sdrt.Settings.from_dict(result.settings.to_dict())
    assert settings == result.settings
    assert name in settings.conditions
    np.testing.assert_array_equal(np.asarray(pipe.generate(**settings.options()).images[0]), picture)


def test_a_batch_is_its_pictures(pipe: sdrt.Pipeline) -> None:
    """Each image has a projection, a radius and a running sum of its own."""
    options: dict[str, Any] = {**SMALL, "num_inference_steps": 4, "apg": sdrt.APG(norm_threshold=2.0), **CHANGES["dynamic_thresholding"]}
    both = pipe.generate([PROMPT, "a green star on a white background"], **options)
    for k, prompt in enumerate(both.settings.prompts):
        alone = pipe.generate(prompt, **(options | {"seed": 93 + k})).latents
        np.testing.assert_allclose(both.latents[k : k + 1], alone, atol=2e-4 * np.abs(alone).max())


def test_runs_in_two_threads_keep_their_momentum_apart(pipe: sdrt.Pipeline) -> None:
    options: dict[str, Any] = {**SMALL, "num_inference_steps": 6, "apg": sdrt.APG(momentum=-0.9)}
    draw = partial(pipe.generate, PROMPT, **options)
    alone, drawn = draw().latents, {}
    threads = [threading.Thread(target=lambda k=k: drawn.update({k: draw(**({"seed": k} if k else {})).latents})) for k in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(drawn[0], alone)


def momentum_moves(pipe: sdrt.Pipeline, **options: Any) -> bool:
    """Whether the momentum of APG moves the picture; where it does not, every bit is the same."""
    one, two = (pipe.generate(PROMPT, apg=sdrt.APG(momentum=momentum), **SMALL, **options).latents for momentum in (-0.8, 0.0))
    apart = float(np.abs(one - two).max())
    assert apart == 0 or apart > 1e-3
    return apart > 0


@pytest.mark.parametrize(
    ("scales", "scheduler", "moves"),
    [
        ([9.0, 9.0, 1.0], "euler", True),
        # after calls without guidance the sum begins anew, and one difference has none before it
        ([9.0, 1.0, 9.0], "euler", False),
        # both calls of Heun's first step count
        ([9.0, 1.0, 1.0], "heun", True),
        ([9.0, 1.0, 1.0], "euler", False),
    ],
)
def test_momentum_counts_calls_and_begins_anew_behind_an_interval(
    pipe: sdrt.Pipeline, scales: list[float], scheduler: str, moves: bool
) -> None:
    assert momentum_moves(pipe, guidance_schedule=scales, scheduler=scheduler, num_inference_steps=3) is moves


def test_momentum_goes_over_to_a_refiner(tmp_path: Path) -> None:
    """With one call of each model, the refiner's difference has one before it only if that of the base model was handed over."""
    folder, refiner = save_pipeline_folder(tmp_path / "sdxl", "sdxl"), save_refiner_folder(tmp_path / "refiner")
    with sdrt.load(folder, refiner=refiner, threads=1) as pipe:
        assert momentum_moves(pipe, num_inference_steps=2, scheduler="euler", refiner_start=0.4)


@pytest.mark.parametrize("name", CHANGES)
def test_exact_results_are_of_exact_functions(name: str) -> None:
    with sdrt.load("nano", numerics="exact", threads=1) as pipe:
        for _, guidance in guidances_of(pipe, num_inference_steps=1, **CHANGES[name]):
            assert getattr(guidance, "functions", None) is None or guidance.functions.numerics == "exact"


# ---- what does not fit


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"guidance_start": float("nan")}, r"^guidance_start must be a finite number from 0 to 1, got nan"),
        ({"guidance_end": 1.5}, r"^guidance_end must be a finite number from 0 to 1, got 1\.5"),
        ({"guidance_start": 0.8, "guidance_end": 0.2}, r"^guidance_start must be below guidance_end, got 0\.8 and 0\.2; guidance_scale=1"),
        ({"guidance_start": 1.0}, r"^guidance_start must be below guidance_end, got 1 and 1"),
        ({"guidance_schedule": "sine"}, r"^guidance_schedule must be 'constant' or 'linear' or 'cosine', or a list of .*, got 'sine'"),
        ({"guidance_schedule": [1.0, float("inf")]}, r"^guidance_schedule must be .*, got \[1\.0, inf\]"),
        (
            {"guidance_schedule": [1.0] * 3, "num_inference_steps": 4},
            r"^guidance_schedule must have a scale for each of the 4 steps of the run, got 3",
        ),
        ({"apg": 0.5}, r"^apg must be an sdrt\.APG, or its numbers eta, norm_threshold, momentum, got 0\.5"),
        ({"apg": sdrt.APG(), "scheduler": "euler_cfg_pp"}, r"^apg must be None with .*, whose steps use the prediction without the prompt"),
        ({"guidance_end": 0.5, "scheduler": "dpmpp_2m_cfg_pp"}, r"^guidance_end must be None with .*, got 0\.5; leave it out"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(pipe: sdrt.Pipeline, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        pipe.resolve(PROMPT, **options)


def test_a_model_that_takes_the_scale_as_an_input_has_one_scale(tmp_path: Path) -> None:
    with sdrt.load(save_pipeline_folder(tmp_path / "lcm", "lcm"), FakeBackend()) as lcm:
        for name, options in CHANGES.items():
            with pytest.raises(ConfigError, match=rf"^{name} must be None for this model, whose U-Net takes the scale as an input"):
                lcm.resolve(PROMPT, **options)


def test_options_without_guidance_are_told(pipe: sdrt.Pipeline) -> None:
    for name, options in CHANGES.items():
        remarks = pipe.resolve(PROMPT, guidance_scale=1.0, **options).remarks
        assert remarks[f"ignored {name}"] == "guidance is off at guidance_scale 1"
    remarks = pipe.resolve(PROMPT, "blurry", guidance_start=0.5, guidance_end=0.6, num_inference_steps=4, guidance_scale=5).remarks
    assert remarks["ignored negative_prompt"] == "no step lies between guidance_start and guidance_end"
    bound = sdrt.DynamicThresholding(mimic_scale=7.0)
    assert "ignored dynamic_thresholding" not in pipe.resolve(PROMPT, guidance_scale=9, dynamic_thresholding=bound).remarks
    remarks = pipe.resolve(PROMPT, guidance_scale=5, dynamic_thresholding=bound).remarks
    assert remarks["ignored dynamic_thresholding"] == "its mimic_scale, 7, is not below guidance_scale"
