"""ControlNets against the pipelines of diffusers: modes, unions, and beside img2img and in-painting; each moves the picture."""

import re
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diffusers import ControlNetModel, ControlNetUnionModel

import sdrt
from sdrt.errors import ConfigError
from tests.factories import CONTROLNETS, Form, random_controlnet, save_controlnet_folder, save_pipeline_folder, save_union_folder
from tests.peers import NEGATIVE, PROMPT, mask, open_peer, peer_picture, picture
from tests.pictures import psnr

QUICK: dict[str, Any] = {"num_inference_steps": 4, "guidance_scale": 5.0, "height": 64, "width": 48}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Folders of models, and of ControlNets by form and seed or by name, made when first asked for."""
    root = tmp_path_factory.mktemp("controlled")

    @cache
    def folder(form: Form, controlnet: int | str | None = None) -> Path:
        place = root / f"{form}{controlnet}"
        if controlnet is None:
            return save_pipeline_folder(place, form)
        if controlnet == "union":
            return save_union_folder(place)
        if controlnet == "pooled":
            network = random_controlnet({**CONTROLNETS[form], "global_pool_conditions": True}, 3)
            network.save_pretrained(place)
            return place
        return save_controlnet_folder(place, form, int(controlnet))

    return folder


@pytest.fixture(params=["numpy", "torch"])
def load(request: pytest.FixtureRequest) -> Any:
    return partial(sdrt.load, backend=request.param, threads=1)


def drawn(pipe: sdrt.Pipeline, **settings: Any) -> np.ndarray:
    [image] = pipe.generate(PROMPT, NEGATIVE, **({"seed": 93} | settings)).images
    return np.asarray(image)


def moves(pipe: sdrt.Pipeline, got: np.ndarray, settings: dict[str, Any], *changes: dict[str, Any]) -> None:
    """Each change moves the picture; one backend shows that for all, as its pictures are those of the others."""
    for change in changes if set(pipe._assembly.backends.values()) == {"numpy"} else ():
        assert psnr(got, drawn(pipe, **(settings | change))) < 40, change


def nets(*places: Path) -> Any:
    opened = [ControlNetModel.from_pretrained(place) for place in places]
    return opened[0] if len(opened) == 1 else opened


# ---- modes


def test_guess_mode_equals_diffusers(folders: Any, load: Any) -> None:
    place = folders("sd1", 0)
    pipe = load(folders("sd1"), controlnet=place)
    peer = open_peer("StableDiffusionControlNetPipeline", folders("sd1"), controlnet=nets(place), safety_checker=None)
    options = QUICK | {"controlnet_conditioning_scale": 0.3, "guess_mode": True}
    want = peer_picture(peer, negative_prompt=NEGATIVE, image=picture(3), **options)
    settings = options | {"control_image": picture(3)}
    got = drawn(pipe, **settings)
    assert psnr(got, want) >= 60
    moves(pipe, got, settings, {"guess_mode": False}, {"control_image": picture(4)})


def test_a_pooling_controlnet_equals_diffusers_which_guesses(folders: Any, load: Any) -> None:
    place = folders("sd1", "pooled")
    pipe = load(folders("sd1"), controlnet=place)
    peer = open_peer("StableDiffusionControlNetPipeline", folders("sd1"), controlnet=nets(place), safety_checker=None)
    options = QUICK | {"controlnet_conditioning_scale": 0.5}
    want = peer_picture(peer, negative_prompt=NEGATIVE, image=picture(3), **options)
    settings = options | {"control_image": picture(3)}
    got = drawn(pipe, **settings)
    assert psnr(got, want) >= 60
    moves(pipe, got, settings, {"controlnet_conditioning_scale": 0.1})


@pytest.mark.parametrize("guess_mode", [False, True])
def test_two_controlnets_each_in_its_part_of_the_run(folders: Any, load: Any, guess_mode: bool) -> None:
    places = [folders("sd1", 0), folders("sd1", 1)]
    pipe = load(folders("sd1"), controlnet=places)
    peer = open_peer("StableDiffusionControlNetPipeline", folders("sd1"), controlnet=nets(*places), safety_checker=None)
    options = QUICK | {
        "controlnet_conditioning_scale": [0.3, 0.2],
        "control_guidance_start": [0.0, 0.4],
        "control_guidance_end": [0.4, 1.0],
        "guess_mode": guess_mode,
    }
    pictures = [picture(3), picture(4)]
    want = peer_picture(peer, negative_prompt=NEGATIVE, image=pictures, **options)
    settings = options | {"control_image": pictures}
    got = drawn(pipe, **settings)
    assert psnr(got, want) >= 60
    moves(pipe, got, settings, {"control_guidance_start": 0.0}, {"control_guidance_end": 1.0}, {"control_image": pictures[::-1]})


def test_control_modes_move_the_picture_and_may_differ(folders: Any) -> None:
    pipe = sdrt.load(folders("sd1"), controlnet=[folders("sd1", 0), folders("sd1", 1)], threads=1)
    settings = QUICK | {"control_image": [picture(3), picture(4)], "controlnet_conditioning_scale": 0.3}
    modes: list[Any] = ["balanced", "prompt", "control", ["prompt", "control"]]
    pictures = [drawn(pipe, **settings, control_mode=mode) for mode in modes]
    assert psnr(pictures[0], drawn(pipe, **settings)) == float("inf")
    for k, one in enumerate(pictures):
        for other in pictures[:k]:
            assert psnr(one, other) < 40


# ---- unions


@pytest.mark.parametrize(
    ("sorts", "numbers", "others"), [(["canny"], [3], [1]), (["openpose", 5], [0, 5], [1, 2])], ids=["one picture", "two pictures"]
)
@pytest.mark.parametrize("guess_mode", [False, True])
def test_a_union_equals_diffusers(
    folders: Any, load: Any, sorts: list[Any], numbers: list[int], others: list[int], guess_mode: bool
) -> None:
    """Where diffusers can: of several pictures it takes the first one's strength for all, and it cannot guess beside guidance."""
    place = folders("sdxl", "union")
    pipe = load(folders("sdxl"), controlnet=place)
    peer = open_peer("StableDiffusionXLControlNetUnionPipeline", folders("sdxl"), controlnet=ControlNetUnionModel.from_pretrained(place))
    pictures = [picture(3), picture(4)][: len(sorts)]
    options = QUICK | {"guess_mode": guess_mode, "controlnet_conditioning_scale": 0.4}
    options |= {"guidance_scale": 1.0} if guess_mode else {}
    want = peer_picture(peer, negative_prompt=NEGATIVE, control_image=pictures, control_mode=numbers, **options)
    settings = options | {"control_image": pictures, "control_type": sorts}
    got = drawn(pipe, **settings)
    assert psnr(got, want) >= 60
    moves(pipe, got, settings, {"control_image": [picture(5), *pictures[1:]]}, {"control_type": others})


def test_each_picture_of_a_union_has_its_strength(folders: Any) -> None:
    pipe = sdrt.load(folders("sdxl"), controlnet=folders("sdxl", "union"), threads=1)
    settings = QUICK | {"control_image": [picture(3), picture(4)], "control_type": ["openpose", "segment"]}
    got = drawn(pipe, **settings, controlnet_conditioning_scale=[0.7, 0.4])
    moves(pipe, got, settings, *({"controlnet_conditioning_scale": scales} for scales in ([0.7, 0.0], [0.0, 0.4], 0.7)))
    inputs = [
        sdrt.ControlNetInput(image=picture(3), type="openpose", conditioning_scale=0.7),
        sdrt.ControlNetInput(image=picture(4), type=5, conditioning_scale=0.4),
    ]
    assert psnr(got, drawn(pipe, **QUICK, control_image=inputs)) == float("inf")


def test_each_image_of_a_batch_follows_a_union_as_alone(folders: Any) -> None:
    """diffusers lets the images of a batch change one another there."""
    pipe = sdrt.load(folders("sdxl"), controlnet=folders("sdxl", "union"), threads=1)
    settings = QUICK | {"control_image": picture(3), "control_type": "depth", "controlnet_conditioning_scale": 0.2}
    batch = pipe.generate(PROMPT, NEGATIVE, seed=92, num_images=2, **settings)
    assert psnr(np.asarray(batch.images[1]), drawn(pipe, **settings)) >= 60


# ---- beside other jobs

JOBS: dict[str, tuple[Form, str, int, dict[str, Any]]] = {
    "img2img": ("sd1", "StableDiffusionControlNetImg2ImgPipeline", 1, {"strength": 0.6}),
    "img2img, two": ("sd1", "StableDiffusionControlNetImg2ImgPipeline", 2, {"strength": 0.8, "control_guidance_start": [0.0, 0.2]}),
    "img2img, guess mode": ("sd1", "StableDiffusionControlNetImg2ImgPipeline", 1, {"strength": 0.8, "guess_mode": True}),
    "img2img, SDXL": ("sdxl", "StableDiffusionXLControlNetImg2ImgPipeline", 1, {"strength": 0.6, "control_guidance_end": 0.7}),
    "in-painting": ("sd1", "StableDiffusionControlNetInpaintPipeline", 1, {"strength": 0.8}),
    "in-painting, all steps": ("sd1", "StableDiffusionControlNetInpaintPipeline", 1, {"strength": 1.0}),
    "in-painting, two": ("sd1", "StableDiffusionControlNetInpaintPipeline", 2, {"strength": 0.8}),
    "in-painting, 9 channels": ("inpaint", "StableDiffusionControlNetInpaintPipeline", 1, {"strength": 1.0}),
    "in-painting, SDXL": ("sdxl", "StableDiffusionXLControlNetInpaintPipeline", 1, {"strength": 0.8}),
}


@pytest.mark.parametrize("job", JOBS)
def test_a_job_with_controlnets_equals_diffusers(folders: Any, load: Any, job: str) -> None:
    form, kind, count, options = JOBS[job]
    places = [folders("sdxl" if form == "sdxl" else "sd1", k) for k in range(count)]
    pipe = load(folders(form), controlnet=places)
    checker = {} if form == "sdxl" else {"safety_checker": None}
    peer = open_peer(kind, folders(form), controlnet=nets(*places), **checker)
    pictures = [picture(3), picture(4)][:count]
    given: dict[str, Any] = {"image": picture(1)} | ({"mask_image": mask()} if "in-painting" in job else {})
    options = QUICK | options | {"controlnet_conditioning_scale": [0.3, 0.2] if count == 2 else 0.3}
    want = peer_picture(peer, negative_prompt=NEGATIVE, control_image=pictures if count == 2 else pictures[0], **given, **options)
    settings = options | given | {"control_image": pictures, "compat": "diffusers"}
    got = drawn(pipe, **settings)
    assert psnr(got, want) >= 60
    moves(pipe, got, settings, {"control_image": [picture(5), *pictures[1:]]}, {"controlnet_conditioning_scale": 0.02})
    if count == 2:
        moves(pipe, got, settings, {"control_image": [pictures[0], picture(5)]})


# ---- what is refused


def named(value: Any) -> str:
    """What a case is called: pictures have an address in their text, which differs from process to process."""
    return re.sub(r"<PIL[^>]*>", "picture", str(value))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"control_mode": "both"}, "control_mode must be 'balanced' or 'prompt' or 'control', or a list"),
        ({"control_mode": ["prompt"] * 2}, "control_mode must be one value, or one for each of 1 ControlNets, got 2"),
        ({"control_mode": "prompt", "guess_mode": True}, "guess_mode and control_mode must not both be set, got True and 'prompt'"),
        ({"control_type": "canny"}, "control_type must be left out for a ControlNet of one sort, or be 'none', got 'canny'"),
        ({"control_preprocessor": "hed"}, "control_preprocessor must be 'none' or 'canny'"),
        ({"control_image": [picture(3), picture(4)]}, "control_image must be a picture for each ControlNet, got 2; this pipeline takes 1"),
    ],
    ids=named,
)
def test_options_that_do_not_fit_a_controlnet_are_refused(folders: Any, options: dict[str, Any], message: str) -> None:
    pipe = sdrt.load(folders("sd1"), controlnet=folders("sd1", 0), threads=1)
    with pytest.raises(ConfigError, match=message):
        pipe.resolve(PROMPT, **(QUICK | {"control_image": picture(3)} | options))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"control_type must say what each picture shows, for this union one of 0 \(openpose\), 1 \(depth\), .*, got none; name one"),
        ({"control_type": "tile"}, "got 'tile'; name one"),
        ({"control_type": 6}, "got 6; name one"),
        ({"control_type": ["depth", "canny"]}, "control_type must be one value, or one for each of 1 pictures, got 2"),
        (
            {"control_image": [picture(3)] * 2, "control_type": "depth", "control_guidance_start": [0.0, 0.5]},
            "control_guidance_start must be one value, or one for each of 1 ControlNets, got 2",
        ),
    ],
    ids=named,
)
def test_options_that_do_not_fit_a_union_are_refused(folders: Any, options: dict[str, Any], message: str) -> None:
    pipe = sdrt.load(folders("sdxl"), controlnet=folders("sdxl", "union"), threads=1)
    with pytest.raises(ConfigError, match=message):
        pipe.resolve(PROMPT, **(QUICK | {"control_image": picture(3)} | options))


def test_options_of_controlnets_are_refused_without_one(folders: Any) -> None:
    pipe = sdrt.load(folders("sd1"), threads=1)
    options: dict[str, Any] = {"control_mode": "prompt", "guess_mode": True, "control_type": "canny", "control_preprocessor": "canny"}
    for name, value in options.items():
        with pytest.raises(ConfigError, match=f"{name} is for a pipeline with a ControlNet"):
            pipe.resolve(PROMPT, **{name: value})
