"""Image to image as Apple's Swift package ml-stable-diffusion 1.1.1 starts it: its steps, its draws, and when it ignores a picture."""

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

import sdrt
from sdrt.errors import ConfigError
from sdrt.pipeline.prepare import draw
from sdrt.pipeline.scheduler_choice import lay_out
from sdrt.schedulers import sampler_from_config

SHAPE = (4, 8, 8)
CONFIGS: dict[str, dict[str, Any]] = {
    name: {"_class_name": name, "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", **more}
    for name, more in {
        "DPMSolverMultistepScheduler": {},
        "PNDMScheduler": {"skip_prk_steps": True, "steps_offset": 1},
    }.items()
}
PICTURE = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
OPTIONS: dict[str, Any] = {"seed": 93, "num_inference_steps": 8, "scheduler": CONFIGS["DPMSolverMultistepScheduler"]}


@cache
def sampler(name: str, compat: Any) -> Any:
    return sampler_from_config(CONFIGS[name], compat=compat)


# Worked out in single precision by hand: 0.58 is 0.57999998, and 50 times that rounds to 29; 0.84 is 0.83999997, and 75 times that is below
# 63 by more than half a unit in the last place. diffusers multiplies in double precision.
@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize(
    ("n", "strength", "steps", "in_double"),
    [
        (50, 0.58, 29, 28),
        (75, 0.84, 62, 63),
        (90, 0.7, 63, 62),
        (100, 0.29, 29, 28),
        (100, 0.53, 52, 53),
        (100, 0.57, 57, 56),
        (100, 0.58, 58, 57),
        (100, 0.59, 58, 59),
        (20, 0.5, 10, 10),
        (1, 1.0, 1, 1),
        (50, 0.999, 49, 49),
    ],
)
def test_steps_are_counted_in_single_precision(name: str, n: int, strength: float, steps: int, in_double: int) -> None:
    """Its list of PNDM has an entry more than steps, of which the last ones are made."""
    more = int(name == "PNDMScheduler" and n > 1)
    plan, at = lay_out(sampler(name, "apple"), n, 16, strength=strength)
    assert plan.num_calls - at == steps + more
    assert at == n - steps
    plan, at = lay_out(sampler(name, "diffusers"), n, 16, strength=strength)
    assert plan.num_calls - at == in_double + more


def test_a_strength_that_leaves_no_step_is_refused() -> None:
    """Where Apple's package reads behind the end of its timesteps."""
    with pytest.raises(ConfigError, match=r"strength must leave at least one step of 20, got 0\.04; take at least 0\.05, or more steps"):
        lay_out(sampler("DPMSolverMultistepScheduler", "apple"), 20, 16, strength=0.04)


@pytest.mark.parametrize("compat", ["apple", "diffusers", None])
def test_noise_comes_first_and_then_the_posterior(pipe: sdrt.Pipeline, compat: Any) -> None:
    resolved = pipe._resolve("a cat", "", {**OPTIONS, "rng": "numpy", "image": PICTURE, "strength": 0.5, "compat": compat})  # type: ignore[typeddict-item]
    drawn, stream = draw(pipe._assembly, resolved), sdrt.rng.stream("numpy", 93)
    first, second = (stream.normal((1, *SHAPE)) for _ in range(2))
    assert drawn.source is not None
    np.testing.assert_array_equal(drawn.noise, first if compat == "apple" else second)
    np.testing.assert_array_equal(drawn.source, second if compat == "apple" else first)


@pytest.mark.parametrize("name", ["torch", "nv"])
def test_the_posterior_is_drawn_value_by_value(pipe: sdrt.Pipeline, name: str) -> None:
    """One posterior for both images, after the noise of both; torch draws fewer than 16 values at once in another way."""
    given: Any = {**OPTIONS, "seed": None, "num_images": 2, "image": PICTURE, "strength": 0.5, "compat": "apple"}
    given["rng"] = sdrt.rng.stream(name, 93)
    drawn = draw(pipe._assembly, pipe._resolve("a cat", "", given))
    stream, size = sdrt.rng.stream(name, 93), int(np.prod(SHAPE))
    noise = [stream.normal(SHAPE) for _ in range(2)]
    one_by_one = np.array([stream.normal(1)[0] for _ in range(size)], np.float32).reshape(SHAPE)
    assert drawn.source is not None
    np.testing.assert_array_equal(drawn.noise, noise)
    np.testing.assert_array_equal(drawn.source, [one_by_one, one_by_one])
    if name == "torch":
        generator = torch.Generator().manual_seed(93)
        torch.randn(2 * size, generator=generator)
        values = torch.cat([torch.randn(1, generator=generator) for _ in range(size)]).reshape(SHAPE)
        np.testing.assert_array_equal(drawn.source[0], values.numpy())


def test_existing_arrays_are_handed_out_whole(pipe: sdrt.Pipeline) -> None:
    given: Any = {**OPTIONS, "seed": None, "num_images": 2, "image": [PICTURE, PICTURE], "strength": 0.5, "compat": "apple"}
    arrays = [np.random.default_rng(k).standard_normal((2, *SHAPE)).astype(np.float32) for k in range(2)]
    given["rng"] = sdrt.rng.from_arrays(arrays)
    drawn = draw(pipe._assembly, pipe._resolve("a cat", "", given))
    assert drawn.source is not None
    np.testing.assert_array_equal([drawn.noise, drawn.source], arrays)


@pytest.mark.parametrize("given", [{"image": PICTURE}, {"image_latents": np.ones((1, *SHAPE), np.float32)}])
def test_a_picture_is_ignored_where_all_steps_are_made(pipe: sdrt.Pipeline, given: dict[str, Any]) -> None:
    plain = pipe.generate("a cat", compat="apple", **OPTIONS)
    found = pipe.generate("a cat", compat="apple", strength=1.0, **given, **OPTIONS)
    np.testing.assert_array_equal(found.latents, plain.latents)
    [name] = given
    assert found.settings.remarks[f"ignored {name}"] == "Apple's package draws from noise alone at strength 1"
    assert not {"image", "image_latents", "strength"} & found.settings.conditions.keys()
    np.testing.assert_array_equal(pipe.generate(**found.settings.options()).latents, plain.latents)
    # and the picture counts where fewer are made
    assert f"ignored {name}" not in pipe.resolve("a cat", compat="apple", strength=0.5, **given, **OPTIONS).remarks
