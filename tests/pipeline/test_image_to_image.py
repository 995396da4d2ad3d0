"""Image to image with pictures: whole pictures and numbers of calls against diffusers' pipelines of the same name, same seed."""

from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import sdrt
from tests.factories import Form, normal, save_pipeline_folder, save_refiner_folder
from tests.peers import NEGATIVE, SCHEDULERS, drawn, open_peer, peer_drawn, picture, scheduler
from tests.pictures import psnr

QUICK: dict[str, Any] = {"num_inference_steps": 5, "guidance_scale": 5.0}

# One of each kind: by timestep, by noise level, of two calls a step, with memory, with fresh noise; and those with starts of their own.
FEW = [("ddim", 0.3), ("euler a", 1.0), ("heun", 0.8), ("dpm++ 2m sde", 0.5), ("pndm", 0.3), ("pndm", 0.8), ("lms", 0.5), ("lcm", 0.5)]
ALL = [(name, strength) for name in SCHEDULERS for strength in (0.3, 0.5, 0.8, 1.0) if (name, strength) not in FEW]
PAIRS = [*FEW, *(pytest.param(*pair, marks=pytest.mark.slow) for pair in ALL)]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Model folders by form, made when first asked for."""
    root = tmp_path_factory.mktemp("models")

    @cache
    def folder(form: Form) -> Path:
        return (save_refiner_folder if form == "sdxl-refiner" else partial(save_pipeline_folder, form=form))(root / form)

    return folder


@pytest.fixture(scope="module")
def peers(models: Any) -> Any:
    """diffusers' pipelines, each opened once."""
    return cache(lambda kind, form: open_peer(kind, models(form)))


@pytest.fixture(scope="module")
def load(models: Any) -> Any:
    """Pipelines by form and backend, each opened once."""
    return cache(lambda form, backend="numpy", **more: sdrt.load(models(form), backend, threads=1, **more))


def options_for(name: str) -> dict[str, Any]:
    """The scheduler, diffusers' way to start in the middle of it, and the eta that its pipelines tell every scheduler."""
    options: dict[str, Any] = {"scheduler": scheduler(name)}
    if SCHEDULERS[name][2]:
        options["compat"] = "diffusers"
    return options | ({"eta": 0.0} if name == "tcd" else {})


@pytest.mark.parametrize(("name", "strength"), PAIRS)
def test_a_picture_becomes_diffusers_picture(load: Any, peers: Any, name: str, strength: float) -> None:
    peer = peers("StableDiffusionImg2ImgPipeline", "sd1")
    options = QUICK | {"image": picture(1), "strength": strength}
    [want], calls = peer_drawn(peer, config=scheduler(name), negative_prompt=NEGATIVE, **options)
    [got], own_calls = drawn(load("sd1"), **options, **options_for(name))
    assert want.std() > 10
    assert (psnr(got, want) >= 60, own_calls) == (True, calls), psnr(got, want)


@pytest.mark.parametrize(("name", "strength"), [("euler a", 0.5), ("pndm", 0.5)])
def test_so_it_does_on_torch(load: Any, peers: Any, name: str, strength: float) -> None:
    options = QUICK | {"image": picture(1), "strength": strength}
    [want], _ = peer_drawn(peers("StableDiffusionImg2ImgPipeline", "sd1"), config=scheduler(name), negative_prompt=NEGATIVE, **options)
    [got], _ = drawn(load("sd1", "torch"), **options, **options_for(name))
    assert psnr(got, want) >= 60


def test_picture_and_strength_move_what_is_drawn(load: Any) -> None:
    options = QUICK | {"image": picture(1), "strength": 0.5, "scheduler": scheduler("euler a")}
    [plain], _ = drawn(load("sd1"), **options)
    for change in ({"image": picture(2)}, {"strength": 0.9}, {"image": None, "strength": None, "height": 64, "width": 48}):
        [other], _ = drawn(load("sd1"), **(options | change))
        assert psnr(plain, other) < 40, change


@pytest.mark.parametrize("name", ["euler a", "pndm"])
def test_pictures_of_a_list_are_changed_each_from_its_own_seed(load: Any, peers: Any, name: str) -> None:
    """As with a list of generators in diffusers."""
    pictures = [picture(1), picture(2)]
    options = QUICK | {"strength": 0.5}
    generators = [torch.Generator().manual_seed(93 + k) for k in range(2)]
    peer = peers("StableDiffusionImg2ImgPipeline", "sd1")
    texts: dict[str, Any] = {"prompt": ["a red circle on a blue background"] * 2, "negative_prompt": [NEGATIVE] * 2}
    want, _ = peer_drawn(peer, generators, scheduler(name), image=pictures, **texts, **options)
    got, _ = drawn(load("sd1"), image=pictures, **options, **options_for(name))
    assert len(got) == 2
    for k, (one, other) in enumerate(zip(got, want, strict=True)):
        assert psnr(one, other) >= 60
        [alone], _ = drawn(load("sd1"), image=pictures[k], seed=93 + k, **options, **options_for(name))
        assert psnr(one, alone) >= 60


@pytest.mark.parametrize("shared", [False, True], ids=["a stream for each", "one stream"])
def test_one_picture_becomes_several(load: Any, peers: Any, shared: bool) -> None:
    options = QUICK | {"image": picture(1), "strength": 0.5}
    generator = torch.Generator().manual_seed(93) if shared else [torch.Generator().manual_seed(93 + k) for k in range(2)]
    peer = peers("StableDiffusionImg2ImgPipeline", "sd1")
    want, _ = peer_drawn(peer, generator, scheduler("euler a"), negative_prompt=NEGATIVE, num_images_per_prompt=2, **options)
    stream: dict[str, Any] = {"rng": sdrt.rng.stream("torch", 93), "seed": None} if shared else {}
    got, _ = drawn(load("sd1"), num_images=2, **options, **options_for("euler a"), **stream)
    assert psnr(got[0], got[1]) < 40
    for one, other in zip(got, want, strict=True):
        assert psnr(one, other) >= 60


@pytest.mark.parametrize("count", [1, 2])
def test_latents_take_the_place_of_pictures(load: Any, peers: Any, count: int) -> None:
    clean = normal(5, count, 4, 8, 6)
    generators = [torch.Generator().manual_seed(93 + k) for k in range(2)]
    peer = peers("StableDiffusionImg2ImgPipeline", "sd1")
    options = QUICK | {"strength": 0.5}
    texts: dict[str, Any] = {"prompt": ["a red circle on a blue background"] * 2, "negative_prompt": [NEGATIVE] * 2}
    want, _ = peer_drawn(peer, generators, scheduler("euler a"), image=torch.from_numpy(clean), **texts, **options)
    got, _ = drawn(load("sd1"), image_latents=clean, num_images=2, **options, **options_for("euler a"))
    for one, other in zip(got, want, strict=True):
        assert psnr(one, other) >= 60


# ---- SDXL, its refiner, and LCM


@pytest.mark.parametrize(("form", "backend"), [("sdxl", "numpy"), ("sdxl-refiner", "numpy"), ("sdxl-refiner", "torch")])
def test_sdxl_and_its_refiner_alone(load: Any, peers: Any, form: Form, backend: str) -> None:
    options = QUICK | {"image": picture(1), "strength": 0.5}
    peer = peers("StableDiffusionXLImg2ImgPipeline", form)
    [want], calls = peer_drawn(peer, config=scheduler("euler a"), negative_prompt=NEGATIVE, **options)
    [got], own_calls = drawn(load(form, backend), **options, **options_for("euler a"))
    assert (psnr(got, want) >= 60, own_calls) == (True, calls), psnr(got, want)


def test_the_refiner_takes_over_a_picture_where_diffusers_lets_it(load: Any, peers: Any, models: Any) -> None:
    base, refiner = (peers("StableDiffusionXLImg2ImgPipeline", form) for form in ("sdxl", "sdxl-refiner"))
    pipe = load("sdxl", refiner=models("sdxl-refiner"))
    generator = torch.Generator().manual_seed(93)
    common: dict[str, Any] = {"config": scheduler("euler"), "negative_prompt": NEGATIVE, "generator": generator, **QUICK}
    [latents], above = peer_drawn(base, image=picture(1), strength=0.8, denoising_end=0.5, output_type="latent", **common)
    sizes: dict[str, Any] = {"original_size": (64, 48), "target_size": (64, 48)}
    [want], below = peer_drawn(refiner, image=torch.from_numpy(latents)[None], denoising_start=0.5, **sizes, **common)
    options = QUICK | {"image": picture(1), "scheduler": scheduler("euler")}
    [got], calls = drawn(pipe, strength=0.8, refiner_start=0.5, **options)
    assert (psnr(got, want) >= 60, calls) == (True, above + below), psnr(got, want)
    assert min(above, below) > 0
    # a run that begins below the cut is the refiner's alone
    [late], _ = drawn(pipe, strength=0.4, refiner_start=0.2, **options)
    [alone], _ = peer_drawn(
        refiner, torch.Generator().manual_seed(93), scheduler("euler"), image=picture(1), strength=0.4, negative_prompt=NEGATIVE, **QUICK
    )
    # the base model's autoencoder encodes and decodes: here it has the weights of the refiner's
    assert psnr(late, alone) >= 60


@pytest.mark.parametrize("strength", [0.3, 1.0])
@pytest.mark.parametrize("compat", [None, "diffusers"])
def test_a_latent_consistency_model(load: Any, peers: Any, strength: float, compat: Any) -> None:
    """All steps are made within the share of its timesteps, as its own pipeline in diffusers makes them."""
    options: dict[str, Any] = {"image": picture(1), "strength": strength, "num_inference_steps": 3, "guidance_scale": 8.0}
    [want], calls = peer_drawn(peers("LatentConsistencyModelImg2ImgPipeline", "lcm"), config=scheduler("lcm"), **options)
    [got], own_calls = drawn(load("lcm"), "", scheduler=scheduler("lcm"), compat=compat, **options)
    assert (psnr(got, want) >= 60, own_calls) == (True, calls) == (True, 3), psnr(got, want)


# ---- where the default is another than diffusers'


@pytest.mark.parametrize(("name", "strength", "calls", "peer_calls"), [("pndm", 0.5, 2, 3), ("lcm", 0.5, 5, 2)])
def test_the_default_makes_the_steps_that_strength_asks_for(
    load: Any, peers: Any, name: str, strength: float, calls: int, peer_calls: int
) -> None:
    """PNDM begins with a plain step from its own noise, and LCM visits the distillation's timesteps below the picture."""
    options = QUICK | {"image": picture(1), "strength": strength}
    peer = peers("StableDiffusionImg2ImgPipeline", "sd1")
    [want], theirs = peer_drawn(peer, config=scheduler(name), negative_prompt=NEGATIVE, **options)
    [got], own = drawn(load("sd1"), scheduler=scheduler(name), **options)
    assert (own, theirs) == (calls, peer_calls)
    assert psnr(got, want) < 40


def test_nano_changes_a_picture_as_diffusers_changes_it() -> None:
    pipe = sdrt.load("nano", threads=1)
    [picture] = pipe.generate("a blue square", seed=7, num_inference_steps=4).images
    peer = open_peer("StableDiffusionImg2ImgPipeline", Path(pipe.model.path))
    options: dict[str, Any] = {"image": picture, "strength": 0.6, "num_inference_steps": 6, "guidance_scale": 5.0}
    [want], calls = peer_drawn(peer, config=scheduler("dpm++ 2m"), negative_prompt=NEGATIVE, **options)
    [got], own = drawn(pipe, scheduler=scheduler("dpm++ 2m"), **options)
    assert (psnr(got, want) >= 60, own) == (True, calls), psnr(got, want)
    [other], _ = drawn(pipe, scheduler=scheduler("dpm++ 2m"), **(options | {"image": np.asarray(picture)[::-1].copy()}))
    assert psnr(got, other) < 40
