"""Options of the U-Net: whole pictures against diffusers' own pipelines.

Each option is first shown to move the picture: a pipeline that ignores it would pass otherwise.
"""

from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diffusers import ControlNetModel

import sdrt
from sdrt.errors import ConfigError
from sdrt.pipeline.resolve import resolve
from tests.factories import Form, save_controlnet_folder, save_pipeline_folder, save_refiner_folder
from tests.fake_backend import FakeBackend
from tests.peers import NEGATIVE, PROMPT, mask, open_peer, peer_picture, picture
from tests.pictures import psnr

QUICK: dict[str, Any] = {"num_inference_steps": 3, "guidance_scale": 5.0, "height": 64, "width": 48}
FREEU = sdrt.FreeU(b1=1.5, b2=1.6, s1=0.9, s2=0.2)
PEERS = {"sd1": "StableDiffusionPipeline", "sdxl": "StableDiffusionXLPipeline"}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Model folders by form, made when first asked for."""
    root = tmp_path_factory.mktemp("unet options")
    return cache(lambda form: save_pipeline_folder(root / form, form))


def drawn(pipe: sdrt.Pipeline, **settings: Any) -> np.ndarray:
    [image] = pipe.generate(PROMPT, NEGATIVE, **({"seed": 93} | settings)).images
    return np.asarray(image)


@pytest.mark.parametrize(
    ("form", "backend"),
    [("sd1", "numpy"), ("sd1", "torch"), *(pytest.param("sdxl", backend, marks=pytest.mark.slow) for backend in ("numpy", "torch"))],
)
def test_freeu_equals_diffusers(models: Any, form: Form, backend: str) -> None:
    folder: Path = models(form)
    peer = open_peer(PEERS[form], folder)
    peer.enable_freeu(s1=FREEU.s1, s2=FREEU.s2, b1=FREEU.b1, b2=FREEU.b2)
    want = peer_picture(peer, negative_prompt=NEGATIVE, **QUICK)
    with sdrt.load(folder, backend=backend) as pipe:
        plain = drawn(pipe, **QUICK)
        assert psnr(plain, want) < 40
        assert psnr(drawn(pipe, freeu=FREEU, **QUICK), want) >= 60
        np.testing.assert_array_equal(drawn(pipe, **QUICK), plain)


PAG_PEERS = {"sd1": "StableDiffusionPAGPipeline", "sdxl": "StableDiffusionXLPAGPipeline"}


# By name: guidance_scale and sdrt's options.
PERTURBED: dict[str, tuple[float, dict[str, Any]]] = {
    "guided": (5.0, {"pag_scale": 3.0, "pag_applied_layers": ["down_blocks.1"]}),
    "unguided": (1.0, {"pag_scale": 3.0, "pag_applied_layers": ["up_blocks"]}),
    "adaptive, several layers": (
        5.0,
        {"pag_scale": 4.0, "pag_adaptive_scale": 0.006, "pag_applied_layers": ["mid", "down_blocks.1", "up_blocks.1.attentions.0"]},
    ),
    "rescaled": (9.0, {"pag_scale": 2.0, "pag_applied_layers": ["down"], "guidance_rescale": 0.7}),
}
# The maps of every family are compared as networks, so XL is drawn once, and torch draws one case in CI.
OFTEN = {*(("sd1", "numpy", name) for name in PERTURBED), ("sd1", "torch", "adaptive, several layers"), ("sdxl", "numpy", "guided")}


@pytest.mark.parametrize(
    ("form", "backend", "name"),
    [pytest.param(*each, marks=[] if each in OFTEN else pytest.mark.slow) for each in product(PAG_PEERS, ("numpy", "torch"), PERTURBED)],
)
def test_perturbed_attention_guidance_equals_diffusers(models: Any, form: Form, backend: str, name: str) -> None:
    folder: Path = models(form)
    guidance_scale, change = PERTURBED[name]
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
    with sdrt.load(folder, controlnet=[tmp_path / "controlnet"] if parts else []) as pipe:
        compat: dict[str, Any] = {"compat": "diffusers"} if "mask_image" in options else {}
        assert psnr(drawn(pipe, **settings, **options, **compat), want) < 40
        assert psnr(drawn(pipe, pag_scale=6.0, pag_applied_layers="down", **settings, **options, **compat), want) >= 60


def test_it_ends_where_a_refiner_takes_over_and_outside_the_interval_of_guidance(models: Any, tmp_path: Path) -> None:
    refiner = save_refiner_folder(tmp_path / "refiner")
    with sdrt.load(models("sdxl"), refiner=refiner) as pipe:
        watched: list[int] = []
        settings = QUICK | {"refiner_start": 0.5, "guidance_scale": 5.0, "pag_scale": 3.0}
        resolved = resolve(pipe._assembly, PROMPT, NEGATIVE, {"seed": 1, **settings})  # type: ignore[typeddict-item]
        assert [len(stretch.guidance.rows) for stretch in resolved.stretches] == [3, 2]
        assert [stretch.refines for stretch in resolved.stretches] == [False, True]
        drawn(pipe, on_step=lambda step: watched.append(step.index), **settings)
        assert len(watched) == 3
    with sdrt.load(models("sd1")) as pipe:
        resolved = resolve(pipe._assembly, PROMPT, NEGATIVE, {"seed": 1, "pag_scale": 3.0, "guidance_start": 0.5})
        assert [len(stretch.guidance.rows) for stretch in resolved.stretches] == [1, 3]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pag_applied_layers": "mid"}, "pag_applied_layers must come with a pag_scale above 0, got none; pass pag_scale=3.0"),
        ({"pag_adaptive_scale": 0.1, "pag_scale": 0.0}, "pag_adaptive_scale must come with a pag_scale above 0, got none"),
        ({"pag_scale": float("nan")}, "pag_scale must be a finite number"),
        ({"pag_scale": -1}, "pag_scale must be a finite number"),
        ({"pag_scale": 1, "pag_applied_layers": "moon"}, "pag_applied_layers must choose self-attentions of this model, got 'moon'"),
        ({"pag_scale": 1, "pag_applied_layers": []}, "pag_applied_layers must be a Unicode string"),
        ({"token_merging": 1.0}, "token_merging must be a finite number from 0 to 0.75, got 1.0"),
        ({"freeu": 1.0}, "freeu must be an sdrt.FreeU, or four numbers b1, b2, s1, s2"),
    ],
)
def test_bad_values_are_refused_in_one_line(models: Any, options: dict[str, Any], message: str) -> None:
    with sdrt.load(models("sd1"), FakeBackend()) as pipe, pytest.raises(ConfigError, match=f"^{message}") as caught:
        pipe.generate(PROMPT, seed=1, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "asked"), [({"freeu": FREEU}, "freeu"), ({"pag_scale": 3.0, "pag_applied_layers": "down"}, "pag_scale")]
)
def test_a_backend_without_them_says_so_before_anything_runs(models: Any, options: dict[str, Any], asked: str) -> None:
    backend = FakeBackend()
    with sdrt.load(models("sd1"), backend) as pipe, pytest.raises(ConfigError, match=rf"^unet: .* backend 'fake'.*; leave {asked} out"):
        pipe.generate(PROMPT, seed=1, **options)
    assert not backend.opened


@pytest.mark.parametrize("form", ["sd1", pytest.param("sdxl", marks=pytest.mark.slow)])
def test_merged_tokens_draw_one_picture_on_numpy_and_torch(models: Any, form: Form) -> None:
    """There is no such option in diffusers; networks are compared with the reference in tests/backends/numpy/test_token_merging.py."""
    pictures = {}
    for backend in ("numpy", "torch"):
        with sdrt.load(models(form), backend=backend) as pipe:
            pictures[backend] = drawn(pipe, token_merging=0.5, **QUICK)
            assert psnr(pictures[backend], drawn(pipe, **QUICK)) < 40
    assert psnr(pictures["numpy"], pictures["torch"]) >= 60


def test_all_options_of_the_unet_together_draw_one_picture_on_numpy_and_torch(models: Any, tmp_path: Path) -> None:
    own: dict[str, Any] = {"token_merging": 0.75, "freeu": FREEU, "pag_scale": 8.0, "pag_applied_layers": ["down", "mid"]}
    every = own | QUICK | {"control_image": picture(2)}
    controlnet = save_controlnet_folder(tmp_path / "controlnet")
    pictures = []
    for backend in ("numpy", "torch"):
        with sdrt.load(models("sd1"), backend=backend, controlnet=controlnet) as pipe:
            pictures.append(drawn(pipe, **every))
            assert pipe.resolve(PROMPT, seed=1, **every).conditions.keys() >= {*own, "pag_adaptive_scale"}
            # one backend shows for both that each counts, as their pictures are the same
            for name in ("token_merging", "freeu", "pag_scale") if backend == "numpy" else ():
                fewer = {key: value for key, value in every.items() if not key.startswith(name[:3])}
                assert psnr(drawn(pipe, **fewer), pictures[-1]) < 45, name
    assert psnr(*pictures) >= 60
