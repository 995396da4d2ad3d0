"""T2I-Adapters against the pipelines of diffusers, alone and beside other jobs; each moves the picture."""

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import ControlNetModel, MultiAdapter, T2IAdapter, UNet2DConditionModel
from PIL import Image
from safetensors.numpy import load_file
from transformers import CLIPVisionModelWithProjection

import sdrt
from sdrt.errors import ConfigError, ImageError, ModelError
from tests.factories import randomise, save_controlnet_folder, save_pipeline_folder, save_t2i_adapter_folder
from tests.image_prompts import adapter_tensors, nested, save_adapter, save_encoder
from tests.peers import NEGATIVE, PROMPT, drawn, mask, open_peer, peer_drawn, picture
from tests.pictures import psnr

QUICK: dict[str, Any] = {"num_inference_steps": 3, "guidance_scale": 5.0, "height": 64, "width": 48}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Folders of models, ControlNets and adapters, made when first asked for."""
    root = tmp_path_factory.mktemp("adapted")

    @cache
    def folder(name: str, seed: int = 0) -> Path:
        place = root / f"{name}{seed}"
        if name == "encoder":
            return save_encoder(place)
        if name == "ip":
            unet = UNet2DConditionModel.from_pretrained(folder("sd1") / "unet")
            return save_adapter(root / "ip.safetensors", adapter_tensors(unet))
        if name in ("sd1", "sdxl", "inpaint"):
            return save_pipeline_folder(place, name)  # type: ignore[arg-type]
        return save_controlnet_folder(place) if name == "controlnet" else save_t2i_adapter_folder(place, name, seed)

    return folder


# torch's adapters and U-Nets are compared as networks, and draw a whole picture in one test
mostly_numpy = pytest.mark.parametrize("load", ["numpy", pytest.param("torch", marks=pytest.mark.slow)], indirect=True)


@pytest.fixture(params=["numpy", "torch"])
def load(request: pytest.FixtureRequest) -> Any:
    return partial(sdrt.load, backend=request.param, threads=1)


def moves(pipe: sdrt.Pipeline, got: np.ndarray, settings: dict[str, Any], *changes: dict[str, Any]) -> None:
    """Each change moves the picture; one backend shows that for all, as its pictures are those of the others."""
    for change in changes if set(pipe.backends.values()) == {"numpy"} else ():
        assert psnr(got, drawn(pipe, **(settings | change))[0][0]) < 40, change


def adapter(*places: Path) -> Any:
    opened = [T2IAdapter.from_pretrained(place) for place in places]
    return opened[0] if len(opened) == 1 else MultiAdapter(opened)


# ---- alone


@mostly_numpy
@pytest.mark.parametrize("name", ["full", pytest.param("light", marks=pytest.mark.slow), "grey"])
def test_an_adapter_of_stable_diffusion_1_equals_diffusers(folders: Any, load: Any, name: str) -> None:
    pipe = load(folders("sd1"), t2i_adapter=folders(name))
    peer = open_peer("StableDiffusionAdapterPipeline", folders("sd1"), adapter=adapter(folders(name)), safety_checker=None)
    followed = picture(3, 60, 80).convert("L" if name == "grey" else "RGB")
    options = QUICK | {"adapter_conditioning_scale": 3.0}
    [want], _ = peer_drawn(peer, negative_prompt=NEGATIVE, image=followed, **options)
    settings = options | {"adapter_image": followed}
    [got], _ = drawn(pipe, **settings)
    assert psnr(got, want) >= 60
    moves(pipe, got, settings, {"adapter_image": picture(4)}, {"adapter_conditioning_scale": 0.1}, {"adapter_preprocessor": "canny"})


def test_a_part_of_the_run_equals_diffusers(folders: Any, load: Any) -> None:
    pipe = load(folders("sdxl"), t2i_adapter=folders("xl"))
    peer = open_peer("StableDiffusionXLAdapterPipeline", folders("sdxl"), adapter=adapter(folders("xl")))
    options = QUICK | {"adapter_conditioning_scale": 3.0, "adapter_conditioning_factor": 0.5}
    [want], _ = peer_drawn(peer, negative_prompt=NEGATIVE, image=picture(3), **options)
    settings = options | {"adapter_image": picture(3)}
    [got], _ = drawn(pipe, **settings)
    assert psnr(got, want) >= 60
    moves(pipe, got, settings, {"adapter_conditioning_factor": 1.0}, {"adapter_conditioning_factor": 0.0})


@mostly_numpy
def test_two_adapters_equal_diffusers(folders: Any, load: Any) -> None:
    places = [folders("xl", 0), folders("xl", 1)]
    pipe = load(folders("sdxl"), t2i_adapter=places)
    peer = open_peer("StableDiffusionXLAdapterPipeline", folders("sdxl"), adapter=adapter(*places))
    options = QUICK | {"adapter_conditioning_scale": [3.0, 2.0]}
    pictures = [picture(3), picture(4)]
    [want], _ = peer_drawn(peer, negative_prompt=NEGATIVE, image=pictures, **options)
    settings = options | {"adapter_image": pictures}
    [got], _ = drawn(pipe, **settings)
    assert psnr(got, want) >= 60
    moves(
        pipe,
        got,
        settings,
        {"adapter_image": pictures[::-1]},
        {"adapter_conditioning_scale": [3.0, 0.0]},
        {"adapter_conditioning_factor": [1.0, 0.5]},
    )


@mostly_numpy
def test_a_picture_for_each_image_equals_diffusers(folders: Any, load: Any) -> None:
    pipe = load(folders("sd1"), t2i_adapter=folders("full"))
    peer = open_peer("StableDiffusionAdapterPipeline", folders("sd1"), adapter=adapter(folders("full")), safety_checker=None)
    pictures = [picture(3), picture(4)]
    generators = [torch.Generator().manual_seed(seed) for seed in (93, 94)]
    wanted, _ = peer_drawn(peer, generators, prompt=[PROMPT] * 2, negative_prompt=[NEGATIVE] * 2, image=pictures, **QUICK)
    got, _ = drawn(pipe, **QUICK, adapter_image=pictures)
    assert len(got) == 2
    for one, want in zip(got, wanted, strict=True):
        assert psnr(one, want) >= 60
    sequential, _ = drawn(pipe, **QUICK, adapter_image=pictures, guidance_batching="sequential")
    assert psnr(sequential[1], wanted[1]) >= 60


def test_each_image_of_a_batch_is_drawn_again_from_its_own_record(folders: Any) -> None:
    """Of two adapters, each with a picture for each image."""
    pipe = sdrt.load(folders("sd1"), t2i_adapter=[folders("full"), folders("light")], threads=1)
    pictures = [picture(seed) for seed in (3, 4, 5, 6)]
    result = pipe.generate(PROMPT, NEGATIVE, seed=93, adapter_image=pictures, adapter_conditioning_scale=[3.0, 2.0], **QUICK)
    assert len(result.images) == 2
    for k, own in enumerate([pictures[0::2], pictures[1::2]]):
        record = result.settings.alone(k)
        assert len(record.conditions["adapter_image"]) == 2
        [again] = pipe.generate(**record.options(adapter_image=own)).images
        assert psnr(np.asarray(again), np.asarray(result.images[k])) >= 60
        with pytest.raises(ConfigError, match="adapter_image must be the recorded picture"):
            record.options(adapter_image=own[::-1])
    # and with one picture for all
    shared = pipe.generate(PROMPT, seed=93, num_images=2, adapter_image=pictures[:2], **QUICK).settings
    assert shared.alone(1).conditions["adapter_image"] == shared.conditions["adapter_image"]


# ---- beside other jobs: diffusers has no pipelines for these, so its U-Nets are given the features


def give_features(peer: Any, network: T2IAdapter, followed: Image.Image, scale: float) -> None:
    pixels = torch.from_numpy(np.asarray(followed, np.float32).transpose(2, 0, 1)[None] / 255)
    features = [feature * scale for feature in network(pixels)]
    forward = peer.unet.forward

    def adapted(sample: torch.Tensor, *inputs: Any, **named: Any) -> Any:
        added = [feature.repeat(len(sample), 1, 1, 1) for feature in features]
        return forward(sample, *inputs, down_intrablock_additional_residuals=added, **named)

    peer.unet.forward = adapted


@mostly_numpy
@pytest.mark.parametrize(
    "job", ["image to image", pytest.param("in-painting", marks=pytest.mark.slow), "in-painting model", "ControlNet", "IP-Adapter"]
)
def test_beside_other_jobs_equals_diffusers(folders: Any, load: Any, job: str) -> None:
    model = folders("inpaint" if job == "in-painting model" else "sd1")
    changed: dict[str, Any] = {}
    settings, parts, options = dict(QUICK), {}, dict[str, Any]()
    match job:
        case "image to image":
            kind, changed = "StableDiffusionImg2ImgPipeline", {"image": picture(5), "strength": 0.75}
        case "in-painting" | "in-painting model":
            kind, changed = "StableDiffusionInpaintPipeline", {"image": picture(5), "mask_image": mask(), "strength": 1.0}
        case "IP-Adapter":
            kind, options = "StableDiffusionPipeline", {"ip_adapter": folders("ip"), "image_encoder": folders("encoder")}
        case _:
            kind, options = "StableDiffusionControlNetPipeline", {"controlnet": folders("controlnet")}
            parts = {"controlnet": ControlNetModel.from_pretrained(folders("controlnet"))}
    peer = open_peer(kind, model, safety_checker=None, **parts)
    if job == "IP-Adapter":
        peer.image_encoder = CLIPVisionModelWithProjection.from_pretrained(folders("encoder"))
        peer.load_ip_adapter(nested(load_file(folders("ip"))), subfolder=None, weight_name=None, image_encoder_folder=None)
    give_features(peer, adapter(folders("full")), picture(3), 3.0)
    size: dict[str, Any] = {} if job == "image to image" else {"height": 64, "width": 48}
    followed = {"image": picture(6), "controlnet_conditioning_scale": 0.1}
    given = changed or ({"ip_adapter_image": picture(6)} if job == "IP-Adapter" else followed)
    common = {name: value for name, value in QUICK.items() if name not in ("height", "width")}
    [want], _ = peer_drawn(peer, negative_prompt=NEGATIVE, **common, **size, **given)
    pipe = load(model, t2i_adapter=folders("full"), **options)
    settings |= {"control_image": picture(6), "controlnet_conditioning_scale": 0.1} if parts else given
    settings |= {"adapter_image": picture(3), "adapter_conditioning_scale": 3.0}
    settings |= {"paste": False} if "mask_image" in changed else {}
    [got], _ = drawn(pipe, **settings)
    assert psnr(got, want) >= 60
    moves(pipe, got, settings, {"adapter_conditioning_scale": 0.0}, {"adapter_image": picture(4)})


def test_nano_takes_an_adapter_beside_a_lora(tmp_path: Path) -> None:
    network = T2IAdapter(channels=[48, 64, 128, 128], downscale_factor=16, adapter_type="full_adapter_xl")
    randomise(network)
    network.save_pretrained(tmp_path)
    pipe = sdrt.load("nano", t2i_adapter=tmp_path, threads=1)
    settings: dict[str, Any] = {"num_inference_steps": 3, "adapter_image": picture(3), "adapter_conditioning_scale": 0.5}
    [plain], _ = drawn(pipe, **settings)
    pipe.set_loras([("nano-outline", 1.0)])
    [outlined], _ = drawn(pipe, **settings)
    [without], _ = drawn(pipe, **settings | {"adapter_conditioning_scale": 0.0})
    assert psnr(plain, outlined) < 40
    assert psnr(outlined, without) < 40
    pipe.set_loras([])
    np.testing.assert_array_equal(drawn(pipe, **settings)[0][0], plain)


@pytest.mark.slow
def test_memory_is_reduced_without_a_change(folders: Any) -> None:
    adapted = partial(sdrt.load, folders("sd1"), t2i_adapter=folders("full"), threads=1)
    settings = QUICK | {"adapter_image": picture(3), "adapter_conditioning_factor": 0.5}
    [plain], _ = drawn(adapted(), **settings)
    [reduced], _ = drawn(adapted(reduce_memory=True, vae_tiling=False), **settings)
    assert psnr(plain, reduced) >= 60


def test_the_factor_is_a_share_of_the_calls(folders: Any) -> None:
    """diffusers would stop after 3 of Heun's 5 calls even at a factor of 1, which means the whole run."""
    pipe = sdrt.load(folders("sd1"), t2i_adapter=folders("full"), threads=1)
    settings = QUICK | {"adapter_image": picture(3), "scheduler": "heun"}
    [whole], calls = drawn(pipe, **settings)
    assert calls == 5
    [half], _ = drawn(pipe, **settings, adapter_conditioning_factor=0.99)
    assert psnr(whole, half) < 90


def test_a_recording_of_a_run_is_played_back(folders: Any, tmp_path: Path) -> None:
    pipe = sdrt.load(folders("sd1"), t2i_adapter=folders("full"), threads=1)
    settings = QUICK | {"seed": 93, "adapter_image": picture(3)}
    with sdrt.compare.record(tmp_path / "run.sdrt", pipe):
        [image] = pipe.generate(PROMPT, NEGATIVE, **settings).images
    [again] = sdrt.load(tmp_path / "run.sdrt").generate(PROMPT, NEGATIVE, **settings).images
    assert again.tobytes() == image.tobytes()


def test_exact_numbers_take_adapters(folders: Any) -> None:
    pipe = sdrt.load(folders("sd1"), t2i_adapter=folders("full"), numerics="exact", threads=1)
    one, other = (drawn(pipe, **QUICK, adapter_image=picture(3), adapter_conditioning_factor=0.5)[0][0] for _ in range(2))
    assert one.tobytes() == other.tobytes()
    float32, _ = drawn(
        sdrt.load(folders("sd1"), t2i_adapter=folders("full"), threads=1),
        **QUICK,
        adapter_image=picture(3),
        adapter_conditioning_factor=0.5,
    )
    assert psnr(one, float32[0]) >= 60


# ---- what is refused


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "adapter_image must be a picture, or one for each image, for each T2I-Adapter, got 0"),
        ({"adapter_image": [picture(3)] * 3, "num_images": 2}, "adapter_image must be one for all 2 images or one for each, got 3"),
        ({"adapter_image": "photo.png"}, "adapter_image must be a PIL image"),
        ({"adapter_image": picture(3), "adapter_conditioning_scale": [1.0, 2.0]}, "one for each of 1 T2I-Adapters, got 2"),
        ({"adapter_image": picture(3), "adapter_conditioning_scale": float("nan")}, "adapter_conditioning_scale must be"),
        # beyond float32
        ({"adapter_image": picture(3), "adapter_conditioning_scale": 1e300}, "adapter_conditioning_scale must be"),
        ({"adapter_image": picture(3), "adapter_conditioning_factor": 1.5}, "adapter_conditioning_factor must be"),
        ({"adapter_image": picture(3), "adapter_preprocessor": "inpaint"}, "adapter_preprocessor must be"),
        ({"adapter_image": picture(3), "height": 72}, "height must be a multiple of 16 for this T2I-Adapter, got 72; try 64"),
    ],
)
def test_options_that_do_not_fit_are_refused(folders: Any, options: dict[str, Any], says: str) -> None:
    pipe = sdrt.load(folders("sdxl"), t2i_adapter=folders("xl"), threads=1)
    with pytest.raises((ConfigError, ImageError), match=says) as refusal:
        pipe.resolve(PROMPT, **(QUICK | options))
    assert "\n" not in str(refusal.value)


def test_options_of_adapters_need_one(folders: Any) -> None:
    pipe = sdrt.load(folders("sd1"), threads=1)
    with pytest.raises(ConfigError, match="adapter_image is for a pipeline with a T2I-Adapter"):
        pipe.resolve(PROMPT, adapter_image=picture(3))
    with pytest.raises(ConfigError, match="adapter_conditioning_scale is for a pipeline with a T2I-Adapter"):
        pipe.resolve(PROMPT, adapter_conditioning_scale=0.5)


def test_an_adapter_of_another_family_and_another_component_are_refused(folders: Any) -> None:
    with pytest.raises(ConfigError, match="feature 0 of a T2I-Adapter must have 32 channels, one value for 8x8 pixels"):
        sdrt.load(folders("sd1"), t2i_adapter=folders("xl"))
    with pytest.raises(ModelError, match="must be a t2i_adapter, got a controlnet"):
        sdrt.load(folders("sd1"), t2i_adapter=folders("controlnet"))
    with pytest.raises(ConfigError, match="t2i_adapter must be a name or a path"):
        sdrt.load(folders("sd1"), t2i_adapter=7)  # type: ignore[arg-type]


def test_a_unet_elsewhere_refuses_before_anything_runs(folders: Any) -> None:
    pytest.importorskip("openvino", reason="openvino is not installed: pip install 'sdrt[openvino]'")
    adapted = partial(sdrt.load, folders("sd1"), t2i_adapter=folders("full"), cache_dir=None)
    with pytest.raises(ConfigError, match="backend of unet must be numpy or torch with a T2I-Adapter, got 'openvino'"):
        adapted(backend="openvino").resolve(PROMPT, adapter_image=picture(3))
    with pytest.raises(ConfigError, match="backend of t2i_adapter must be one of numpy, torch, got 'openvino'"):
        adapted(backend={"t2i_adapter": "openvino"}).resolve(PROMPT, adapter_image=picture(3))
