"""Prompts that change during a run: diffusers' loop with its text embeddings exchanged at the same steps, and what each step sees."""

import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import HeunDiscreteScheduler
from hypothesis import given, settings
from hypothesis import strategies as st

import sdrt
from sdrt.prompt import schedule
from tests.factories import save_pipeline_folder
from tests.fake_backend import FakeBackend
from tests.peers import open_peer, picture, scheduler
from tests.pictures import psnr

# a random network sees little in a word: many of them, and much guidance
RED, BLUE = "red star on green, many bright words", "blue square, a photo of the night sky with a moon"
QUICK: dict[str, Any] = {"num_inference_steps": 5, "guidance_scale": 15.0}
SIZE: dict[str, Any] = {"height": 64, "width": 48}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pipeline_folder(tmp_path_factory.mktemp("editing") / "sd1")


@pytest.fixture(scope="module", params=["numpy", pytest.param("torch", marks=pytest.mark.slow)])
def pipe(request: pytest.FixtureRequest, folder: Path) -> sdrt.Pipeline:
    return sdrt.load(folder, backend=request.param)


@pytest.fixture(scope="module")
def numpy_pipe(folder: Path) -> sdrt.Pipeline:
    return sdrt.load(folder)


@pytest.fixture(scope="module")
def nano() -> sdrt.Pipeline:
    return sdrt.load("nano")


def text_of(prompt: str, step: int) -> str:
    """The text of a step, counted from 1; schedules have tests of their own."""
    return next(text for last, text in schedule(prompt, 5) if step <= last)


def peer_drawn(peer: Any, prompt: str, negative: str, steps: Sequence[int], options: Any, names: Sequence[str] = ("prompt_embeds",)) -> Any:
    """Draw with diffusers, whose k-th call sees the texts of the k-th of these steps."""

    def texts(step: int) -> dict[str, str]:
        return {"prompt": text_of(prompt, step), "negative_prompt": text_of(negative, step)}

    def exchange(_peer: Any, call: int, _timestep: Any, _tensors: Any) -> dict[str, torch.Tensor]:
        own = texts(steps[min(call + 1, len(steps) - 1)])
        encoded = peer.encode_prompt(**own, device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=True)
        # states with and without the prompt; XL has the pooled ones behind them
        tensors = {"prompt_embeds": torch.cat([encoded[1], encoded[0]]), "add_text_embeds": torch.cat([encoded[-1], encoded[-2]])}
        return {name: tensors[name] for name in names}

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        generator = torch.Generator().manual_seed(93)
        inputs = {"callback_on_step_end": exchange, "callback_on_step_end_tensor_inputs": list(names)}
        [image] = peer(**texts(steps[0]), generator=generator, **inputs, **options).images
    return np.asarray(image)


def drawn(pipe: sdrt.Pipeline, prompt: str, negative: str = "", **options: Any) -> Any:
    [image] = pipe.generate(prompt, negative, seed=93, **options).images
    return np.asarray(image)


@pytest.mark.parametrize(
    ("prompt", "negative"),
    [
        (f"a [{RED}:{BLUE}:0.4] circle", "a blurry circle"),
        (f"a [{RED}|{BLUE}|green] [circle::0.8]", f"a [blurry:{RED} {BLUE}:2] [circle|square]"),
    ],
)
def test_a_prompt_changes_as_diffusers_embeddings_exchanged_at_the_same_steps(
    pipe: sdrt.Pipeline, folder: Path, prompt: str, negative: str
) -> None:
    peer = open_peer("StableDiffusionPipeline", folder, safety_checker=None)
    got = drawn(pipe, prompt, negative, **QUICK, **SIZE)
    for step in (1, 5):
        assert psnr(got, drawn(pipe, text_of(prompt, step), text_of(negative, step), **QUICK, **SIZE)) < 40, "the change is not seen"
    assert psnr(got, peer_drawn(peer, prompt, negative, [1, 2, 3, 4, 5], QUICK | SIZE)) >= 60


def test_both_calls_of_a_step_see_its_text(numpy_pipe: sdrt.Pipeline, folder: Path) -> None:
    peer, config = open_peer("StableDiffusionPipeline", folder, safety_checker=None), scheduler("heun")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer.scheduler = HeunDiscreteScheduler.from_config(config)
    prompt = f"a [{RED}|{BLUE}] circle"
    got = drawn(numpy_pipe, prompt, **QUICK, **SIZE, scheduler=config)
    want = partial(peer_drawn, peer, prompt, "", options=QUICK | SIZE)
    assert psnr(got, want([1, 1, 2, 2, 3, 3, 4, 4, 5])) >= 60
    assert psnr(got, want([1, 2, 3, 4, 5, 5, 5, 5, 5])) < 40


def test_steps_of_image_to_image_are_counted_from_its_first(numpy_pipe: sdrt.Pipeline, folder: Path) -> None:
    peer = open_peer("StableDiffusionImg2ImgPipeline", folder, safety_checker=None)
    prompt, options = f"a [{RED}:{BLUE}:2] circle", {**QUICK, "image": picture(1), "strength": 0.8}
    got = drawn(numpy_pipe, prompt, **options)
    want = partial(peer_drawn, peer, prompt, "", options=options)
    assert psnr(got, want([1, 2, 3, 4])) >= 60
    assert psnr(got, want([2, 3, 4, 5])) < 40


def test_sdxl_changes_its_pooled_text_too(tmp_path: Path) -> None:
    folder = save_pipeline_folder(tmp_path / "sdxl", "sdxl")
    pipe, peer = sdrt.load(folder), open_peer("StableDiffusionXLPipeline", folder)
    prompt, negative = f"a [{RED}:{BLUE}:0.4] circle", "a blurry circle"
    got = drawn(pipe, prompt, negative, **QUICK, **SIZE)
    want = partial(peer_drawn, peer, prompt, negative, [1, 2, 3, 4, 5], QUICK | SIZE)
    assert psnr(got, want(names=["prompt_embeds", "add_text_embeds"])) >= 60
    assert psnr(got, want(names=["prompt_embeds"])) < 55


@pytest.mark.slow
def test_images_of_one_batch_change_each_as_if_alone(nano: sdrt.Pipeline) -> None:
    prompts, options = ["a [red:blue:1] circle", "a [red|green] square"], {**QUICK, "num_inference_steps": 3}
    together = nano.generate(prompts, "[blurry::2]", seed=93, **options).images
    for k, prompt in enumerate(prompts):
        [alone] = nano.generate(prompt, "[blurry::2]", seed=93 + k, **options).images
        # a batch rounds otherwise
        assert psnr(together[k], alone) >= 60
    assert psnr(together[0], nano.generate("a blue circle", "[blurry::2]", seed=93, **options).images[0]) < 40


@pytest.mark.parametrize("prompts", ["a [red|blue] circle", ["a [red|blue] circle", "a red circle"], ["[a|b]", "[c|d|e]"]])
def test_each_text_is_encoded_once(prompts: str | list[str]) -> None:
    encoded: list[int] = []

    class Counted(FakeBackend):
        def open(self, component: Any, *args: Any, **more: Any) -> Any:
            network = super().open(component, *args, **more)
            compute = network.compute
            if component == "text_encoder":
                network.compute = lambda input_ids: encoded.append(len(input_ids)) or compute(input_ids=input_ids)  # type: ignore[func-returns-value]
            return network

    with sdrt.load("nano", backend=Counted()) as pipe:
        pipe.generate(prompts, "blurry", seed=1, num_inference_steps=20, guidance_scale=5.0)
    texts = {text for each in ([prompts] if isinstance(prompts, str) else prompts) for _, text in schedule(each, 20)}
    # each beside the negative prompt of its image
    assert encoded == [2] * len(texts)


SYNTAX = st.lists(st.sampled_from(["a ", "[red:blue:2]", "[x|y]", "[z::0.5]", "(b:1.2)", "[", "]", ":", "|", "q"]), max_size=8).map("".join)


@settings(max_examples=8)
@given(SYNTAX, SYNTAX)
def test_each_step_sees_the_text_of_the_schedule(prompt: str, negative: str) -> None:
    seen: list[Any] = []

    def predict(sample: Any, timestep: Any, encoder_hidden_states: Any) -> Any:
        seen.append(encoder_hidden_states)
        return {"noise_pred": sample}

    with sdrt.load("nano", backend=FakeBackend({"unet": predict})) as pipe:
        options: Any = {"seed": 93, "guidance_scale": 5.0}
        pipe.generate(prompt, negative, num_inference_steps=5, **options)
        changing = seen[:]
        for step in range(1, 6):
            pipe.generate(text_of(prompt, step), text_of(negative, step), num_inference_steps=1, prompt_syntax="weighted", **options)
    assert len(changing) == 5
    for one, other in zip(changing, seen[5:], strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_change_that_the_run_does_not_reach_is_remarked(nano: sdrt.Pipeline) -> None:
    options: dict[str, Any] = {"image": picture(1, 128, 128), "strength": 0.5, "num_inference_steps": 20}
    remarks = nano.resolve("a [red:blue:0.5] circle", **options).remarks
    assert remarks["ignored prompt editing"] == "a prompt changes after step 10, and this run makes 10 of 20"
    assert "ignored prompt editing" not in nano.resolve("a [red:blue:0.45] circle", **options).remarks


def test_a_record_names_the_full_syntax_where_a_prompt_needs_it(nano: sdrt.Pipeline) -> None:
    assert nano.resolve("a (red:1.2) [circle]", "x").prompt_syntax == "weighted"
    assert nano.resolve("a red circle", "[x|y]").prompt_syntax == "full"
    assert nano.resolve("a [red|blue] circle", compat="diffusers").prompt_syntax == "plain"
    changing = nano.resolve("a [red|blue] circle")
    assert changing.prompt_syntax == "full"
    assert changing.remarks == {}


def test_an_older_record_is_played_back_as_it_was_drawn(nano: sdrt.Pipeline) -> None:
    prompt, options = "a [red|blue] circle", {"seed": 93, **QUICK}
    old = nano.generate(prompt, **options, prompt_syntax="weighted")
    assert "prompt alternation" in old.settings.remarks
    again = nano.generate(**sdrt.Settings.from_dict(old.settings.to_dict()).options())
    assert again.settings == old.settings
    np.testing.assert_array_equal(again.latents, old.latents)
    # as text in square brackets, which every version before read it as
    escaped = nano.generate(r"a (\red|blue:0.9090909090909091) circle", **options, prompt_syntax="weighted")
    np.testing.assert_allclose(escaped.latents, old.latents, atol=1e-5)
    assert psnr(old.images[0], nano.generate(prompt, **options).images[0]) < 40
