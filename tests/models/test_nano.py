"""The model that ships: what it draws, judged by the program that judged its training; its size; its words."""

import numpy as np
import pytest

import sdrt
from sdrt.models import path
from training.judge import Verdict, judge
from training.scenes import COLOURS, POSITIONS, Item, Scene, held_out
from training.shapes import SHAPES

RIGHT = Verdict(shape=True, colour=True, background=True, position=True, size=True)

# Held out of training, all of them.
HELD_OUT = {
    "a large white ring at the left on an orange background": Scene((Item("ring", "white"),), "orange", "left", "large"),
    "an orange disk at the lower right on a yellow background": Scene((Item("circle", "orange"),), "yellow", "bottom right"),
    "a big cyan plus on the left side on a purple background": Scene((Item("cross", "cyan"),), "purple", "left", "large"),
    "a small pink triangle on the left, black background": Scene((Item("triangle", "pink"),), "black", "left", "small"),
    "a big green heart on the right on a black background": Scene((Item("heart", "green"),), "black", "right", "large"),
    "a white ring and a green diamond on a cyan background": Scene(
        (Item("ring", "white"), Item("diamond", "green")), "cyan", layout="beside"
    ),
    "a pink triangle below an orange circle over a black background": Scene(
        (Item("circle", "orange"), Item("triangle", "pink")), "black", layout="stacked"
    ),
}

# What people type first. What is left out is red, medium, in the middle, and on white.
FREE = {
    "a red circle on a blue background": Scene((Item("circle", "red"),), "blue"),
    "a red circle and a blue square on a white background": Scene(
        (Item("circle", "red"), Item("square", "blue")), "white", layout="beside"
    ),
    "a heart": Scene((Item("heart", "red"),), "white"),
    "red circle": Scene((Item("circle", "red"),), "white"),
    "a photo of a blue square": Scene((Item("square", "blue"),), "white"),
    "A PURPLE CROSS!": Scene((Item("cross", "purple"),), "white"),
}


@pytest.fixture(scope="module")
def pipe() -> sdrt.Pipeline:
    return sdrt.load()


def test_it_is_at_most_ten_megabytes() -> None:
    assert sum(file.stat().st_size for file in path("nano").rglob("*") if file.is_file()) <= 10_000_000


def test_it_knows_every_word_as_one_token(pipe: sdrt.Pipeline) -> None:
    words = [*SHAPES, *COLOURS, "small", "large", "left", "right", "top", "bottom", "corner", "above", "below", "and", "background"]
    for word in words:
        assert len(pipe.tokenizer.encode(word)) == 3, word
    assert {word for position in POSITIONS for word in position.split()} <= {*words, "centre"}


def test_these_scenes_are_held_out() -> None:
    assert all(held_out(scene) for scene in HELD_OUT.values())


@pytest.mark.parametrize("prompt", [*HELD_OUT, *FREE])
def test_it_draws_what_the_prompt_says(pipe: sdrt.Pipeline, prompt: str) -> None:
    [image] = pipe.generate(prompt, seed=93).images
    assert judge(np.asarray(image), (HELD_OUT | FREE)[prompt]) == RIGHT


def test_pndm_draws_it_too(pipe: sdrt.Pipeline) -> None:
    prompt, scene = next(iter(FREE.items()))
    [image] = pipe.generate(prompt, seed=93, scheduler="pndm", num_inference_steps=50).images
    assert judge(np.asarray(image), scene) == RIGHT
