"""The companions that ship beside nano: each draws what it is for, judged by the program that judged its training."""

import re

import numpy as np
import pytest
from PIL import Image

import sdrt
from sdrt.errors import ConfigError
from sdrt.models import EMBEDDED, embedded, open_component, open_model, path
from training.companion_cases import EdgeCase, HoleCase, edge_cases, hole_cases
from training.judge_companions import judge_edges, judge_hole, judge_outlined
from training.judge_upscaler import mean_psnr
from training.scenes import Item, Scene

STEPS = 12
# Of every source and wording; the last has two objects.
EDGES = [case for number, case in enumerate(edge_cases(6, seed=70_000)) if number in (0, 1, 2, 4)]
HOLES = hole_cases(4, seed=70_000)


@pytest.fixture(scope="module")
def with_edges() -> sdrt.Pipeline:
    return sdrt.load("nano", controlnet="nano-edges")


@pytest.fixture(scope="module")
def inpainting() -> sdrt.Pipeline:
    return sdrt.load("nano-inpaint")


@pytest.mark.parametrize("case", EDGES, ids=lambda case: f"{case.source}-{case.prompt}")
def test_shapes_follow_edges_and_colours_the_prompt(with_edges: sdrt.Pipeline, case: EdgeCase) -> None:
    [image] = with_edges.generate(case.prompt, seed=93, num_inference_steps=STEPS, control_image=Image.fromarray(case.edges)).images
    assert judge_edges(np.asarray(image), case).all


def test_without_the_edges_the_picture_is_another_one(with_edges: sdrt.Pipeline) -> None:
    [case] = EDGES[:1]
    blank = Image.fromarray(np.zeros_like(case.edges))
    [image] = with_edges.generate(case.prompt, seed=93, num_inference_steps=STEPS, control_image=blank).images
    assert not judge_edges(np.asarray(image), case).all


@pytest.mark.parametrize("case", HOLES, ids=lambda case: f"{case.kind}-{case.prompt}")
def test_a_hole_holds_what_is_asked_for_and_the_rest_is_kept(inpainting: sdrt.Pipeline, case: HoleCase) -> None:
    """Before what is kept is pasted back."""
    original, mask = Image.fromarray(case.original), Image.fromarray(case.mask.astype(np.uint8) * 255)
    [image] = inpainting.generate(case.prompt, seed=93, num_inference_steps=STEPS, image=original, mask_image=mask, paste=False).images
    assert judge_hole(np.asarray(image), case).all


def test_a_lora_is_known_by_name_and_outlines_what_is_drawn() -> None:
    """In the list of a pipeline, and in a prompt; judged with and without."""
    scene, prompt = Scene((Item("square", "purple"),), "orange"), "a purple square on an orange background"
    with sdrt.load("nano", loras=["nano-outline"]) as outlining:
        [outlined] = outlining.generate(prompt, seed=93).images
    with sdrt.load("nano") as plain:
        [image] = plain.generate(prompt, seed=93).images
        [tagged] = plain.generate(f"{prompt}<lora:nano-outline:1>", seed=93).images
    assert outlined.tobytes() == tagged.tobytes()
    assert judge_outlined(np.asarray(outlined), scene).outline
    assert judge_outlined(np.asarray(outlined), scene).shape
    assert not judge_outlined(np.asarray(image), scene).outline


def test_the_upscaler_beats_lanczos_on_held_out_scenes() -> None:
    """Drawn at 256 pixels, reduced to 128, and enlarged again."""
    ours, lanczos = mean_psnr([sdrt.load_upscaler(name) for name in ("nano-upscale", "lanczos")], 8, seed=70_000)
    assert lanczos > 30
    assert ours > lanczos + 1


def test_they_are_listed_small_and_described() -> None:
    assert embedded() == ("nano", "nano-inpaint", "nano-edges", "nano-outline", "nano-quick", "nano-upscale")
    assert sum(each.weight_bytes for each in EMBEDDED.values()) < 19_600_000
    for each in EMBEDDED.values():
        assert path(each.name) == each.path
        assert each.path.exists()
        assert each.description.endswith(".")
    assert {each.name: each.guidance_scale for each in EMBEDDED.values()} == {
        "nano": 3.0,
        "nano-inpaint": None,
        "nano-edges": 2.0,
        "nano-outline": None,
        "nano-quick": None,
        "nano-upscale": None,
    }


def test_the_inpainting_model_has_nanos_other_components() -> None:
    model, nano = open_model("nano-inpaint"), open_model("nano")
    assert model.name == "nano-inpaint"
    assert model.config("unet") == {**nano.config("unet"), "in_channels": 9}
    assert model.files("unet") != nano.files("unet")
    for component in nano.components:
        if component != "unet":
            assert model.files(component) == nano.files(component)
    assert model.defaults == nano.defaults


def test_a_controlnet_a_lora_and_a_vae_are_no_models() -> None:
    uses = {"nano-edges": "controlnet='nano-edges'", "nano-outline": "loras=['nano-outline']", "nano-quick": "vae='nano-quick'"}
    for name, use in uses.items():
        with pytest.raises(ConfigError, match=re.escape(f"model must be a model, got {name!r}, a {EMBEDDED[name].kind}; pass it as {use}")):
            sdrt.load(name)
    with pytest.raises(ConfigError, match=r"got 'nano-upscale', an upscaler; pass it to sdrt\.load_upscaler\('nano-upscale'\)"):
        sdrt.load("nano-upscale")
    assert open_component("nano-edges", "controlnet").components == ("controlnet",)
    assert open_component("nano-quick", "vae_decoder").components == ("vae_decoder", "vae_encoder")
