"""Guiders of diffusers: whole pictures of its modular pipeline at the same seed.

Each option is first shown to move the picture.
"""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import guiders
from diffusers.modular_pipelines import StableDiffusionXLAutoBlocks

import sdrt
from tests.factories import save_pipeline_folder
from tests.peers import NEGATIVE, PROMPT, scheduler
from tests.pictures import psnr

SCALE = 9.0
QUICK: dict[str, Any] = {"num_inference_steps": 4, "height": 64, "width": 48}
DDIM = scheduler("ddim")
MOMENTUM: dict[str, Any] = {"adaptive_projected_guidance_momentum": -0.5, "adaptive_projected_guidance_rescale": 5.0, "eta": 0.2}
PROJECTED = sdrt.APG(eta=0.2, norm_threshold=5.0, momentum=-0.5)

# By name: the guider, the prediction type of the run, and sdrt's options.
CASES: dict[str, tuple[Callable[[], Any], str, dict[str, Any]]] = {
    "an interval": (
        lambda: guiders.ClassifierFreeGuidance(SCALE, start=0.25, stop=0.5),
        "epsilon",
        {"guidance_start": 0.25, "guidance_end": 0.5},
    ),
    "APG of the guider, rescaled": (
        lambda: guiders.AdaptiveProjectedGuidance(SCALE, guidance_rescale=0.3, **MOMENTUM),
        "epsilon",
        {"apg": PROJECTED, "compat": "diffusers", "guidance_rescale": 0.3},
    ),
    # where samples are predicted, those of the guider are denoised ones; its original formulation is the paper's, with w = scale - 1
    "APG of the paper, in an interval": (
        lambda: guiders.AdaptiveProjectedGuidance(SCALE - 1, use_original_formulation=True, stop=0.75, **MOMENTUM),
        "sample",
        {"apg": PROJECTED, "guidance_end": 0.75},
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pipeline_folder(tmp_path_factory.mktemp("guiders") / "sdxl", "sdxl")


@pytest.fixture(scope="module")
def peer_picture(folder: Path) -> Callable[[Any, str], np.ndarray]:
    """Draw with diffusers' modular pipeline and one of its guiders."""
    from diffusers import DDIMScheduler

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer = StableDiffusionXLAutoBlocks().init_pipeline(str(folder))
        peer.load_components(torch_dtype=torch.float32)
    peer.set_progress_bar_config(disable=True)

    def drawn(guider: Any, prediction_type: str) -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            peer.update_components(guider=guider, scheduler=DDIMScheduler.from_config(DDIM | {"prediction_type": prediction_type}))
            generator = torch.Generator().manual_seed(93)
            [image] = peer(prompt=PROMPT, negative_prompt=NEGATIVE, generator=generator, output="images", **QUICK)
        return np.asarray(image)

    return drawn


@pytest.mark.parametrize("name", CASES)
def test_guiders_of_diffusers_draw_the_same_pictures(folder: Path, peer_picture: Callable[[Any, str], np.ndarray], name: str) -> None:
    guider, prediction_type, options = CASES[name]

    def drawn(**options: Any) -> np.ndarray:
        config = DDIM | {"prediction_type": prediction_type}
        [image] = pipe.generate(PROMPT, NEGATIVE, seed=93, guidance_scale=SCALE, scheduler=config, **QUICK, **options).images
        return np.asarray(image)

    with sdrt.load(folder, threads=1) as pipe:
        got = drawn(**options)
        for option in options.keys() - {"compat"}:
            assert psnr(got, drawn(**{key: value for key, value in options.items() if key != option})) < 40, option
    assert psnr(got, peer_picture(guider(), prediction_type)) >= 60
