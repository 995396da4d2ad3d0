"""Options of the U-Net: whole pictures against diffusers' own pipelines.

Each option is first shown to move the picture: a pipeline that ignores it would pass otherwise.
"""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sdrt
from tests.factories import Form, save_pipeline_folder
from tests.peers import NEGATIVE, PROMPT, open_peer, peer_picture
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
    ],
    ids=["guided", "unguided", "adaptive, several layers"],
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
