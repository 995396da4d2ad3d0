"""Flows whose noise levels follow the size of the picture: the run says how large it is."""

from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
from diffusers.pipelines.flux.pipeline_flux import calculate_shift

import sdrt
from tests.factories import save_pipeline_folder
from tests.fake_backend import FakeBackend

QUICK: dict[str, Any] = {"seed": 93, "num_inference_steps": 5}
DYNAMIC: dict[str, Any] = {"_class_name": "FlowMatchEulerDiscreteScheduler", "use_dynamic_shifting": True}


@pytest.fixture(scope="module")
def pipe(tmp_path_factory: pytest.TempPathFactory) -> sdrt.Pipeline:
    folder: Path = save_pipeline_folder(tmp_path_factory.mktemp("model") / "sd1")
    return sdrt.load(folder, FakeBackend())


@pytest.mark.parametrize(
    "keys",
    [{}, {"base_shift": 0.7, "max_shift": 1.6, "base_image_seq_len": 64, "max_image_seq_len": 1024}, {"time_shift_type": "linear"}],
    ids=str,
)
@pytest.mark.parametrize(("height", "width"), [(64, 64), (1024, 1024), (1152, 896)])
def test_the_noise_levels_of_a_size_are_those_of_diffusers(pipe: sdrt.Pipeline, keys: dict[str, Any], height: int, width: int) -> None:
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler.from_config(DYNAMIC | keys)
    # SD3 and FLUX: patches of 2x2 latents, each of 8x8 pixels
    patches = (height // 16) * (width // 16)
    names = ("base_image_seq_len", "max_image_seq_len", "base_shift", "max_shift")
    mu = calculate_shift(patches, *(scheduler.config[name] for name in names))
    scheduler.set_timesteps(5, mu=mu)
    plan = pipe._resolve("a circle", "", {"scheduler": DYNAMIC | keys, "height": height, "width": width, "num_inference_steps": 5}).plan
    np.testing.assert_allclose(plan.sigmas, scheduler.sigmas.numpy(), rtol=2e-6)
    np.testing.assert_allclose(plan.timesteps, scheduler.timesteps.numpy(), rtol=2e-6)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # diffusers on numpy 2
def test_a_solver_takes_the_sizes_of_flux(pipe: sdrt.Pipeline) -> None:
    config = {"prediction_type": "flow_prediction", "use_flow_sigmas": True, "use_dynamic_shifting": True}
    scheduler = diffusers.DPMSolverMultistepScheduler(**config)
    scheduler.set_timesteps(5, mu=calculate_shift(4096))
    ours = config | {"_class_name": "DPMSolverMultistepScheduler"}
    plan = pipe._resolve("a circle", "", {"scheduler": ours, "height": 1024, "width": 1024, "num_inference_steps": 5}).plan
    np.testing.assert_allclose(plan.sigmas, scheduler.sigmas.numpy(), rtol=2e-6)


def test_a_picture_is_drawn_and_its_size_moves_the_levels(pipe: sdrt.Pipeline) -> None:
    small, large = (list(pipe.steps("a circle", scheduler=DYNAMIC, height=size, width=size, **QUICK)) for size in (64, 128))
    assert small[1].timestep < large[1].timestep
    assert pipe.generate("a circle", scheduler=DYNAMIC, **QUICK).images[0].size == (64, 64)
