"""Whole pictures under exact numerics: no function of the platform's anywhere, and next to those of float32."""

from typing import Any

import numpy as np
import pytest

import sdrt
from sdrt import rng
from sdrt.errors import ConfigError
from sdrt.schedulers import sampler_from_name
from sdrt.verification.jobs import PICTURE_JOBS, Job
from tests.exact.poison import poison

# The schedules of these are computed when a pipeline is opened or first used; every job computes what is its own again.
SHORT = [job for job in PICTURE_JOBS if job.name not in ("three images", "another size", "no guidance", "long prompt", "clip skip")]


def drawn(job: Job, numerics: Any, steps: int = 1) -> Any:
    with sdrt.load(**job.load, numerics=numerics) as pipe:
        return pipe.generate(job.prompt, job.negative_prompt, **{**job.all_options(), "num_inference_steps": steps})


@pytest.fixture(scope="module", autouse=True)
def _imported() -> None:
    """Import what opening and drawing import, whose constants may be computed as they like."""
    for job in (job for job in SHORT if job.name in ("Brownian path", "in-painting", "ControlNet, guess mode", "LoRA")):
        drawn(job, "exact")


@pytest.mark.parametrize("job", SHORT, ids=lambda job: job.name)
def test_no_function_of_the_platform_is_called(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    poison(monkeypatch)
    # a share of one step is none
    drawn(job, "exact", 2 if "strength" in job.options() else 1)


@pytest.mark.parametrize("name", ["weighted prompt", "map of strengths", "ControlNet, guess mode"])
def test_pictures_are_those_of_float32_but_for_rounding(name: str) -> None:
    """Two steps amplify rounding by less than a hundred: latents are of order 1, float32 has 6e-8."""
    [job] = [job for job in PICTURE_JOBS if job.name == name]
    exact, plain = (drawn(job, numerics, 2) for numerics in ("exact", "float32"))
    np.testing.assert_allclose(exact.latents, plain.latents, rtol=0, atol=5e-5)
    assert exact.settings.numerics == "exact"


def test_poison_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    poison(monkeypatch)
    with pytest.raises(AssertionError, match="was called under exact numerics"):
        drawn(PICTURE_JOBS[0], "float32")


def test_what_a_caller_passes_must_be_exact_too() -> None:
    with sdrt.load("nano", numerics="exact") as pipe:
        with pytest.raises(ConfigError, match=r"pass sdrt\.rng\.stream\('torch', 5, numerics='exact'\)"):
            pipe.generate("a", rng=rng.stream("torch", 5), num_inference_steps=1)
        with pytest.raises(ConfigError, match="scheduler must be exact in an exact pipeline, got EulerDiscreteScheduler of float32"):
            pipe.generate("a", scheduler=sampler_from_name("euler", {}), num_inference_steps=1)
        stream, sampler = rng.stream("torch", 93, numerics="exact"), sampler_from_name("euler", {}, "exact")
        assert len(pipe.generate("a", rng=stream, scheduler=sampler, num_inference_steps=1).images) == 1


def test_a_record_draws_the_same_again() -> None:
    with sdrt.load("nano", numerics="exact") as pipe:
        result = pipe.generate("a red circle", num_images=2, num_inference_steps=2, rng=rng.stream("nv", 5, numerics="exact"))
        again = pipe.generate(**result.settings.options())
    np.testing.assert_array_equal(again.latents, result.latents)
