"""Options of the U-Net: whole pictures against diffusers' own pipelines.

Each option is first shown to move the picture: a pipeline that ignores it would pass otherwise.
"""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diffusers import ControlNetModel

import sdrt
from tests.factories import Form, save_controlnet_folder, save_pipeline_folder
from tests.peers import NEGATIVE, PROMPT, mask, open_peer, peer_picture, picture
from tests.pictures import psnr

QUICK: dict[str, Any] = {"num_inference_steps": 4, "guidance_scale": 5.0, "height": 64, "width": 48}
FREEU = sdrt.FreeU(b1=1.5, b2=1.6, s1=0.9, s2=0.2)
BACKENDS = pytest.mark.parametrize("backend", ["numpy", "torch"])


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Model folders by form, made when first asked for."""
    root = tmp_path_factory.mktemp("unet options")
    return cache(lambda form: save_pipeline_folder(root / form, form))


def drawn(pipe: sdrt.Pipeline, **settings: Any) -> np.ndarray:
    [image] = pipe.generate(PROMPT, NEGATIVE, **({"seed": 93} | settings)).images
    return np.asarray(image)


@BACKENDS
@pytest.mark.parametrize(("form", "kind"), [("sd1", "StableDiffusionPipeline"), ("sdxl", "StableDiffusionXLPipeline")])
def test_freeu_equals_diffusers(models: Any, form: Form, kind: str, backend: str) -> None:
    folder: Path = models(form)
    peer = open_peer(kind, folder)
    peer.enable_freeu(s1=FREEU.s1, s2=FREEU.s2, b1=FREEU.b1, b2=FREEU.b2)
    want = peer_picture(peer, negative_prompt=NEGATIVE, **QUICK)
    with sdrt.load(folder, backend=backend) as pipe:
        plain = drawn(pipe, **QUICK)
        assert psnr(plain, want) < 40
        assert psnr(drawn(pipe, freeu=FREEU, **QUICK), want) >= 60
        np.testing.assert_array_equal(drawn(pipe, **QUICK), plain)


PAG_PEERS = {"sd1": "StableDiffusionPAGPipeline", "sdxl": "StableDiffusionXLPAGPipeline"}


@BACKENDS
@pytest.mark.parametrize("form", PAG_PEERS)
@pytest.mark.parametrize(
    ("guidance_scale", "change"),
    [
        (5.0, {"pag_scale": 3.0, "pag_applied_layers": ["down_blocks.1"]}),
        (1.0, {"pag_scale": 3.0, "pag_applied_layers": ["up_blocks"]}),
        (5.0, {"pag_scale": 4.0, "pag_adaptive_scale": 0.006, "pag_applied_layers": ["mid", "down_blocks.1", "up_blocks.1.attentions.0"]}),
        (9.0, {"pag_scale": 2.0, "pag_applied_layers": ["down"], "guidance_rescale": 0.7}),
    ],
    ids=["guided", "unguided", "adaptive, several layers", "rescaled"],
)
def test_perturbed_attention_guidance_equals_diffusers(
    models: Any, form: Form, backend: str, guidance_scale: float, change: dict[str, Any]
) -> None:
    folder: Path = models(form)
    settings = QUICK | {"guidance_scale": guidance_scale}
    peer = open_peer(PAG_PEERS[form], folder, pag_applied_layers=change["pag_applied_layers"])
    of_call = {name: value for name, value in change.items() if name != "pag_applied_layers"}
    want = peer_picture(peer, negative_prompt=NEGATIVE, **settings, **of_call)
    with sdrt.load(folder, backend=backend) as pipe:
        assert psnr(drawn(pipe, **settings), want) < 40
        assert psnr(drawn(pipe, **settings, **change), want) >= 60


# diffusers 0.42.1 raises for a ControlNet in guess mode: it multiplies the rows of its residuals by two, and there are three kinds
JOBS: dict[str, tuple[str, dict[str, Any]]] = {
    "image to image": ("StableDiffusionPAGImg2ImgPipeline", {"image": picture(1), "strength": 0.7}),
    "in-painting": ("StableDiffusionPAGInpaintPipeline", {"image": picture(1), "mask_image": mask(), "strength": 1.0}),
    "ControlNet": ("StableDiffusionControlNetPAGPipeline", {"control_image": picture(2)}),
}


@pytest.mark.parametrize("job", JOBS)
def test_perturbed_attention_guidance_in_other_jobs_equals_diffusers(models: Any, job: str, tmp_path: Path) -> None:
    kind, options = JOBS[job]
    folder: Path = models("sd1")
    theirs = {("image" if name == "control_image" else name): value for name, value in options.items()}
    parts: dict[str, Any] = {}
    if "control_image" in options:
        parts["controlnet"] = ControlNetModel.from_pretrained(save_controlnet_folder(tmp_path / "controlnet"))
    peer = open_peer(kind, folder, pag_applied_layers=["down"], **parts)
    settings = {name: value for name, value in QUICK.items() if job != "image to image" or name not in ("height", "width")}
    want = peer_picture(peer, negative_prompt=NEGATIVE, pag_scale=6.0, **settings, **theirs)
    with sdrt.load(folder, controlnet=tmp_path / "controlnet" if parts else None) as pipe:
        compat: dict[str, Any] = {"compat": "diffusers"} if "mask_image" in options else {}
        assert psnr(drawn(pipe, **settings, **options, **compat), want) < 40
        assert psnr(drawn(pipe, pag_scale=6.0, pag_applied_layers="down", **settings, **options, **compat), want) >= 60
