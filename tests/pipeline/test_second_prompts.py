"""SDXL's second prompts: whole pictures against diffusers' pipeline, lists, lengths, records, and the models that have none."""

from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sdrt
from sdrt.errors import ConfigError
from sdrt.pipeline.options import given_options
from tests.factories import Form, save_pipeline_folder, save_refiner_folder
from tests.peers import NEGATIVE, PROMPT, open_peer, peer_picture
from tests.pictures import psnr

QUICK: dict[str, Any] = {"num_inference_steps": 2, "guidance_scale": 5.0, "height": 64, "width": 48}
SECOND: dict[str, Any] = {"prompt_2": "a photograph of a blue square", "negative_prompt_2": "a drawing, green"}
LONG = "red " * 80 + "circle"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Any:
    root = tmp_path_factory.mktemp("second prompts")

    @cache
    def folder(form: Form) -> Path:
        return (save_refiner_folder if form == "sdxl-refiner" else partial(save_pipeline_folder, form=form))(root / form)

    return folder


@pytest.fixture(scope="module")
def pipe(models: Any) -> sdrt.Pipeline:
    return sdrt.load(models("sdxl"), threads=1)


def drawn(pipe: sdrt.Pipeline, negative: str = NEGATIVE, **options: Any) -> np.ndarray:
    [image] = pipe.generate(PROMPT, negative, seed=93, **QUICK, **options).images
    return np.asarray(image)


@pytest.mark.parametrize(
    ("backend", "chosen"), [("numpy", ["prompt_2"]), ("numpy", ["negative_prompt_2"]), ("torch", ["prompt_2", "negative_prompt_2"])]
)
def test_second_prompts_move_the_picture_and_equal_diffusers(models: Any, backend: str, chosen: list[str]) -> None:
    pipe, peer = sdrt.load(models("sdxl"), backend, threads=1), open_peer("StableDiffusionXLPipeline", models("sdxl"))
    options = {name: SECOND[name] for name in chosen}
    got = drawn(pipe, **options)
    assert psnr(got, drawn(pipe)) < 40
    assert psnr(got, peer_picture(peer, negative_prompt=NEGATIVE, **QUICK, **options)) >= 60


def test_the_prompt_itself_as_second_prompt_changes_nothing(pipe: sdrt.Pipeline) -> None:
    np.testing.assert_array_equal(drawn(pipe, prompt_2=PROMPT, negative_prompt_2=NEGATIVE), drawn(pipe))


def test_an_empty_second_prompt_is_one(pipe: sdrt.Pipeline) -> None:
    assert psnr(drawn(pipe, prompt_2=""), drawn(pipe)) < 40


def test_only_two_empty_negative_prompts_are_zeros(pipe: sdrt.Pipeline) -> None:
    assert pipe.model.flags.force_zeros_for_empty_prompt
    zeros = drawn(pipe, "")
    np.testing.assert_array_equal(drawn(pipe, "", negative_prompt_2=""), zeros)
    assert psnr(drawn(pipe, "", negative_prompt_2="green"), zeros) < 40


def tokenized(pipe: sdrt.Pipeline, settings: sdrt.Settings) -> Any:
    """The prompts of each model, for each image."""
    options = settings.options()
    return pipe._resolve(options.pop("prompt"), options.pop("negative_prompt"), given_options(options)).prompts[0][1]


@pytest.mark.parametrize("first", [True, False], ids=["a long first prompt", "a long second prompt"])
@pytest.mark.parametrize("long_prompts", ["chunk", "pad", "truncate"])
def test_prompts_of_other_lengths_for_each_encoder(pipe: sdrt.Pipeline, long_prompts: str, first: bool) -> None:
    """Empty chunks fill up the shorter one, whose own are still its own."""
    texts = (LONG, "blue") if first else ("blue", LONG)
    options: dict[str, Any] = {"long_prompts": long_prompts, "seed": 93, **QUICK}
    result = pipe.generate(texts[0], "green", prompt_2=texts[1], **options)
    assert bool(result.truncated[0]) == (long_prompts == "truncate")
    assert psnr(np.asarray(result.images[0]), np.asarray(pipe.generate(texts[0], "green", **options).images[0])) < 40
    [[rows]] = tokenized(pipe, result.settings)
    lengths = {name: len(each.rows["prompt"].input_ids) for name, each in rows.items()}
    assert set(lengths.values()) == {1 if long_prompts == "truncate" else 2}
    short = rows["text_encoder_2" if first else "text_encoder"]
    np.testing.assert_array_equal(short.rows["prompt"].input_ids[1:], short.empty.input_ids[: lengths["text_encoder"] - 1])


def test_weights_count_in_second_prompts(pipe: sdrt.Pipeline) -> None:
    assert psnr(drawn(pipe, prompt_2="a (blue:1.9) square"), drawn(pipe, prompt_2="a blue square")) < 40


def test_a_list_has_one_for_each_image(pipe: sdrt.Pipeline) -> None:
    seconds, negatives = ["a blue square", "a red ring"], ["green", "white"]
    result = pipe.generate(PROMPT, NEGATIVE, prompt_2=seconds, negative_prompt_2=negatives, seed=93, **QUICK)
    assert result.settings.num_images == 2
    for k in range(2):
        own = pipe.generate(PROMPT, NEGATIVE, prompt_2=seconds[k], negative_prompt_2=negatives[k], seed=93 + k, **QUICK)
        np.testing.assert_allclose(result.latents[k : k + 1], own.latents, atol=2e-5 * np.abs(own.latents).max())
        assert result.settings.alone(k) == own.settings
    settings = sdrt.Settings.from_dict(result.settings.to_dict())
    assert settings == result.settings
    assert pipe.resolve(**settings.options()) == result.settings


def test_the_record_has_them_where_they_were_passed(pipe: sdrt.Pipeline) -> None:
    assert {"prompt_2", "negative_prompt_2"}.isdisjoint(pipe.resolve(PROMPT, seed=1).conditions)
    settings = pipe.resolve(PROMPT, seed=1, **SECOND)
    assert settings.conditions.items() >= SECOND.items()
    assert pipe.resolve(**settings.options()) == settings
    assert settings.encoder_texts == (((PROMPT, ""), (SECOND["prompt_2"], SECOND["negative_prompt_2"])),)


def test_a_refiner_reads_the_first_prompt(models: Any) -> None:
    options: dict[str, Any] = {"refiner_start": 0.05, "scheduler": "euler"}
    with sdrt.load(models("sdxl"), refiner=models("sdxl-refiner"), threads=1) as both:
        [base, refiner] = tokenized(both, both.resolve(PROMPT, seed=93, **SECOND, **options))
        [_, [plain]] = tokenized(both, both.resolve(PROMPT, seed=93, **options))
    np.testing.assert_array_equal(refiner[0]["text_encoder_2"].rows["prompt"].input_ids, plain["text_encoder_2"].rows["prompt"].input_ids)
    assert not np.array_equal(base[0]["text_encoder_2"].rows["prompt"].input_ids, plain["text_encoder_2"].rows["prompt"].input_ids)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompt_2": 3}, r"^prompt_2 must be a Unicode string, or a list of at least 1 .*, got 3"),
        ({"negative_prompt_2": []}, r"^negative_prompt_2 must be a Unicode string, or a list of at least 1 .*, got \[\]"),
        ({"prompt_2": ["a", "b"], "num_images": 3}, r"^prompt_2 must be one for all 3 images or one for each, got 2"),
        ({"prompt_2": "a <lora:style:1>"}, r"^prompt_2 must be without <lora:\.\.\.>, got one; name it in the prompt"),
    ],
)
def test_what_is_no_second_prompt_is_refused(pipe: sdrt.Pipeline, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        pipe.resolve(PROMPT, **options)


def test_models_with_one_encoder_have_no_second_prompt(models: Any) -> None:
    for pipe in (sdrt.load("nano"), sdrt.load(models("sdxl-refiner"))):
        for name in SECOND:
            with pytest.raises(ConfigError, match=rf"^{name} is for a model with two text encoders \(SDXL\); leave it out"):
                pipe.resolve(PROMPT, **{name: "blue"})  # type: ignore[arg-type]


def test_a_record_with_another_number_of_them_is_refused(pipe: sdrt.Pipeline) -> None:
    record = pipe.resolve([PROMPT, "blue"], prompt_2=["a", "b"]).to_dict()
    record["conditions"]["prompt_2"] = ["a", "b", "c"]
    with pytest.raises(ConfigError, match=r"^a record's prompt_2 must be one for each of its 2 images, got"):
        sdrt.Settings.from_dict(record)
