"""The options of a call: resolve, generate, steps, decode."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

import sdrt
from sdrt import rng, schedulers
from sdrt.pipeline.option_table import OPTIONS
from tests.fake_backend import FakeBackend
from tests.fuzz.drawing import Draw
from tests.fuzz.values import FLAG, NUMBER, TEXT, WHOLE, Declared, any_value, ascii_of, each, has_nan, near, one_of, wrong_kinds

GOOD: Mapping[str, Any] = {
    "prompt": "a red circle",
    "negative_prompt": "blue",
    "prompt_2": "a blue square",
    "negative_prompt_2": "green",
    "seed": 93,
    "subseed": 94,
    "subseed_strength": 0.5,
    "seed_resize_from": (64, 64),
    "num_images": 1,
    "num_inference_steps": 2,
    "guidance_scale": 5.0,
    "guidance_rescale": 0.5,
    "guidance_batching": "batched",
    "guidance_start": 0.0,
    "guidance_end": 0.8,
    "guidance_schedule": "linear",
    "apg": sdrt.APG(),
    "dynamic_thresholding": sdrt.DynamicThresholding(),
    "height": 64,
    "width": 64,
    "scheduler": "euler a",
    "eta": 0.5,
    "rng": "torch",
    "sampler_rng": "numpy",
    "sampler_seed": 3,
    "prompt_syntax": "weighted",
    "long_prompts": "chunk",
    "emphasis": "original",
    "clip_skip": 1,
    "record_paths": True,
    "compat": "diffusers",
    "image": np.zeros((64, 64, 3), np.uint8),
    "strength": 0.5,
    "resize": "fit",
    "background": "navy",
    "image_latents": np.zeros((1, 4, 8, 8), np.float32),
    "latents": np.zeros((1, 4, 8, 8), np.float32),
    "mask_image": np.zeros((64, 64), np.uint8),
    "mask_mode": "soft",
    "mask_blur": 2.0,
    "masked_content": "fill",
    "only_masked": True,
    "only_masked_padding": 8,
    "paste": True,
    "hires_scale": 1.25,
    "hires_steps": 2,
    "hires_denoising": 0.7,
    "hires_upscaler": "latent",
    "hires_scheduler": "euler",
    "hires_prompt": "a blue square",
    "hires_negative_prompt": "red",
    "hires_guidance_scale": 3.0,
    "control_image": np.zeros((64, 64, 3), np.uint8),
    "controlnet_conditioning_scale": 1.0,
    "control_guidance_start": 0.0,
    "control_guidance_end": 1.0,
    "control_mode": "prompt",
    "guess_mode": False,
    "control_type": "canny",
    "control_preprocessor": "canny",
    "region_prompt": "a blue square",
    "region_mask": np.zeros((64, 64), np.uint8),
    "region_weight": 2.0,
    "adapter_image": np.zeros((64, 64, 3), np.uint8),
    "adapter_conditioning_scale": 1.0,
    "adapter_conditioning_factor": 0.5,
    "adapter_preprocessor": "canny",
    "ip_adapter_image": np.zeros((64, 64, 3), np.uint8),
    "ip_adapter_image_embeds": np.zeros((1, 1, 12), np.float32),
    "ip_adapter_scale": {"up": {"block_0": [0.0, 1.0]}},
    "ip_adapter_mask": np.zeros((64, 64), np.uint8),
    "original_size": (64, 64),
    "crops_coords_top_left": (0, 0),
    "target_size": (64, 64),
    "aesthetic_score": 6.0,
    "negative_aesthetic_score": 2.5,
    "refiner_start": 0.8,
    "freeu": sdrt.FreeU(b1=1.5, b2=1.6, s1=0.9, s2=0.2),
    "pag_scale": 3.0,
    "pag_applied_layers": "mid",
    "pag_adaptive_scale": 0.01,
    "token_merging": 0.5,
    "sizes": None,
    "regions": [sdrt.PromptRegion(prompt="a blue square", mask=np.zeros((64, 64), np.uint8))],
    "on_step": None,
    "on_progress": None,
    "cfg": "batched",
    "unknown": 1,
}
DECLARED: Mapping[str, Declared] = {
    **dict.fromkeys(("prompt", "negative_prompt", "prompt_2", "negative_prompt_2"), each(TEXT)),
    "seed": each(WHOLE),
    **dict.fromkeys(("subseed", "num_images", "num_inference_steps", "height", "width", "sampler_seed", "clip_skip"), WHOLE),
    **dict.fromkeys(
        (
            "guidance_scale",
            "guidance_rescale",
            "guidance_start",
            "guidance_end",
            "eta",
            "refiner_start",
            "aesthetic_score",
            "negative_aesthetic_score",
            "strength",
            "subseed_strength",
        ),
        NUMBER,
    ),
    "guidance_batching": one_of("batched", "sequential"),
    "prompt_syntax": one_of("full", "weighted", "plain"),
    "long_prompts": one_of("chunk", "truncate"),
    "mask_mode": one_of("binary", "soft", "strength"),
    "resize": one_of("stretch", "crop", "fit"),
    "masked_content": one_of("original", "fill", "noise"),
    "mask_blur": NUMBER,
    "only_masked_padding": WHOLE,
    "record_paths": FLAG,
    "compat": one_of("diffusers", "apple"),
}
SPECIAL = (
    {"_class_name": "DDIMScheduler", "beta_start": "x"},
    {"_class_name": "DDIMScheduler"},
    {"stream": "torch", "seed": 1, "cursor": {}},
    lambda *_: None,
    sdrt.SDXLSizes(),
    rng.stream("torch", 3),
    schedulers.make("ddim"),
)


@cache
def fake_pipeline() -> sdrt.Pipeline:
    return sdrt.load("nano", FakeBackend())


@cache
def true_pipeline() -> sdrt.Pipeline:
    return sdrt.load("nano", threads=1)


def hostile_options(draw: Draw, most: int = 3) -> dict[str, Any]:
    options: dict[str, Any] = {"prompt": "a red circle", "seed": 1, "num_inference_steps": 2, "height": 64, "width": 64}
    for name in draw.some(list(GOOD), most):
        kind = draw.random()
        value = (
            near(draw, GOOD[name]) if kind < 0.3 else draw.choice(SPECIAL) if kind < 0.35 else GOOD[name] if kind < 0.5 else any_value(draw)
        )
        options[name] = value
        draw.note(f"{name} = {ascii_of(value)}")
    return options


def _only(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in ("on_step", "on_progress")}


def resolve(draw: Draw) -> str | None:
    """``resolve``, and the record that it gives."""
    options = _only(hostile_options(draw))
    settings = fake_pipeline().resolve(**options)
    if has_nan(settings.guidance_scale, settings.eta, settings.guidance_rescale):
        return "NaN in the settings"
    return wrong_kinds(options, DECLARED) or _round_trip(settings)


def _round_trip(settings: sdrt.Settings) -> str | None:
    import json

    again = sdrt.Settings.from_dict(json.loads(json.dumps(settings.to_dict(), allow_nan=False)))
    return None if json.dumps(again.to_dict()) == json.dumps(settings.to_dict()) else "a record that reads back as another"


def generate(draw: Draw) -> str | None:
    """``generate`` over networks of a line each, and now and then over the real ones."""
    options = hostile_options(draw)
    if draw.chance(0.15):
        options |= {"num_inference_steps": 1} if options["num_inference_steps"] == 2 else {}
        result = true_pipeline().generate(**options)
    else:
        result = fake_pipeline().generate(**options)
    if len(result.images) != result.settings.num_images:
        return f"{len(result.images)} pictures of {result.settings.num_images}"
    return wrong_kinds(options, DECLARED)


def steps(draw: Draw) -> str | None:
    """``steps``, left early or finished, and what a step is asked."""
    options = {name: value for name, value in hostile_options(draw).items() if name != "on_step"}
    loop = fake_pipeline().steps(**options)
    for step in loop:
        if has_nan(step.latents):
            return "NaN in the latents"
        if draw.chance(0.2):
            break
        if draw.chance(0.1):
            _ = step.preview
    if draw.chance(0.5):
        loop.result()
    return wrong_kinds(options, DECLARED)


def decode(draw: Draw) -> str | None:
    """``decode`` of arrays that are no latents."""
    shape = draw.choice(((1, 4, 8, 8), (2, 4, 8, 8), (4, 8, 8), (1, 3, 8, 8), (0, 4, 8, 8), (1, 4, 0, 8), (1, 4, 1, 1), ()))
    latents: Any = np.zeros(shape, draw.choice((np.float32, np.float64, np.float16, np.int32, np.uint8, np.complex64, object)))
    if draw.chance(0.3) and latents.size and latents.dtype.kind == "f":
        latents.flat[0] = draw.choice((np.nan, np.inf, 6e4))
    if draw.chance(0.3):
        latents = any_value(draw)
    draw.note(f"latents = {ascii_of(latents)}")
    pipe = fake_pipeline() if draw.chance(0.7) else true_pipeline()
    pictures = pipe.decode(latents)
    if isinstance(latents, np.ndarray) and latents.dtype.kind == "f" and not np.isfinite(latents).all():
        return "latents with NaN or infinities are decoded"
    return None if all(picture.mode == "RGB" for picture in pictures) else "no RGB"


assert set(OPTIONS) <= GOOD.keys(), "an option without a generator"

GENERATORS = {"resolve": resolve, "generate": generate, "steps": steps, "decode": decode}
