"""Whole runs whose guidance changes on the way: the rows that are asked, and networks that stay open."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import sdrt
from sdrt.guidance import ClassifierFreeGuidance, Unguided
from sdrt.pipeline.steps import Steps
from tests.fake_backend import FakeBackend


def resolved(pipe: sdrt.Pipeline, **options: Any) -> Any:
    return pipe._resolve("a red circle", "blue", {"seed": 93, "num_inference_steps": 4, "guidance_scale": 5.0, **options})  # type: ignore[typeddict-item]


@pytest.mark.parametrize("reduce_memory", [False, True])
def test_a_stretch_without_guidance_asks_for_the_prompt_alone(reduce_memory: bool) -> None:
    backend = FakeBackend()
    with sdrt.load("nano", backend=backend, reduce_memory=reduce_memory) as pipe:
        guidances = ((0, Unguided()), (1, ClassifierFreeGuidance(5.0)), (3, Unguided()))
        list(Steps(replace(resolved(pipe), guidances=guidances)))
    assert backend.rows == [1, 2, 2, 1]
    assert [each._component for each in backend.opened].count("unet") == 1


def test_a_run_of_equal_stretches_draws_the_bytes_of_one() -> None:
    cfg, off = ClassifierFreeGuidance(5.0), Unguided()
    with sdrt.load("nano") as pipe:

        def latents(*guidances: tuple[int, Any]) -> Any:
            # resolved anew: a call's streams draw once
            return Steps(replace(resolved(pipe), guidances=guidances)).result().latents

        whole, cut, other = latents((0, cfg)), latents((0, cfg), (2, cfg)), latents((0, cfg), (2, off))
    np.testing.assert_array_equal(whole, cut)
    assert np.abs(whole - other).max() > 0.1
