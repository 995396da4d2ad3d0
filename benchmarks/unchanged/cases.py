"""Compute what one checkout makes of fixed seeds, as SHA-256 by case name; this script only uses names that every version has.

    PYTHONPATH=CHECKOUT python -P cases.py MODELS OUT GROUP THREADS

writes to OUT, as JSON, the checkout that ran and its cases. A refused case is recorded by the name of its error, so that a new or lost
refusal shows too.
"""

import hashlib
import json
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import sdrt
from sdrt import rng, schedulers

Case = tuple[str, Callable[[], str]]

PROMPT, NEGATIVE = "a red circle on a blue background", "a blurry circle"
QUICK: dict[str, Any] = {"seed": 93, "num_inference_steps": 4}
SMALL: dict[str, Any] = {**QUICK, "guidance_scale": 5.0, "height": 64, "width": 48}
LONG = "a small yellow star above a large green square, " * 9
ENDINGS = ("karras", "exponential", "beta", "ays", "sgm_uniform")
STREAMS = ("torch", "torch-scalar", "nv", "numpy", "generator")


def digest(*values: Any) -> str:
    """Return the SHA-256 of arrays with their dtypes and shapes, and of the text of anything else."""
    sha = hashlib.sha256()
    for value in values:
        if isinstance(value, np.ndarray):
            sha.update(f"{value.dtype} {value.shape}".encode() + np.ascontiguousarray(value).tobytes())
        else:
            sha.update(repr(value).encode())
    return sha.hexdigest()


def picture(seed: int, width: int = 48, height: int = 64) -> Image.Image:
    small = np.random.default_rng(seed).integers(0, 256, (8, 6, 3), np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.NEAREST)


def mask(width: int = 48, height: int = 64) -> Image.Image:
    pixels = np.zeros((height, width), np.uint8)
    pixels[:, width // 2 :] = 255
    return Image.fromarray(pixels)


def drawn(pipe: Any, prompt: str = PROMPT, negative: str = NEGATIVE, **options: Any) -> str:
    """Draw, and return the digest of latents, of the x0 of every step, and of the pictures."""
    x0 = []

    def see(step: Any) -> None:
        x0.append(step.x0)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # an old spelling of an option
        result = pipe.generate(prompt, negative, on_step=see, **options)
    return digest(result.latents, *x0, *(np.asarray(image) for image in result.images), result.truncated, result.flagged)


def drawn_from(model: str | Path, load: dict[str, Any], prompt: str = PROMPT, negative: str = NEGATIVE, **options: Any) -> str:
    """Open a model and draw: see `drawn`."""
    with sdrt.load(model, **{"threads": THREADS, **load}) as pipe:
        return drawn(pipe, prompt, negative, **options)


# ---- token ids and noise


def tokens() -> Iterator[Case]:
    from sdrt.tokenizer import ClipTokenizer

    texts = [PROMPT, LONG, "", "naïve café  ΑΒΓ 漢字 🐈‍⬛ &amp; don't 12345", "a (red:1.3) [blue] BREAK\tx\u00a0y"]
    vocabularies = {"clip": ClipTokenizer.clip(), "nano": ClipTokenizer.load(sdrt.models.path("nano") / "tokenizer")}
    for name, tokenizer in vocabularies.items():
        for index, text in enumerate(texts):
            yield f"{name} encode {index}", partial(digest, list(tokenizer.encode(text)))
        batch = tokenizer.batch(texts)
        yield f"{name} batch", partial(digest, batch.input_ids, batch.truncated)


def noise() -> Iterator[Case]:
    for name in STREAMS:
        for seed in (0, 93, 2**31 + 5):
            for shape in ((1,), (15,), (17,), (2, 4, 16, 12), (100_003,)):
                yield f"{name} {seed} {shape}", partial(_draws, name, seed, shape)


def _draws(name: str, seed: int, shape: tuple[int, ...]) -> str:
    stream = rng.stream(name, seed)
    return digest(stream.normal(shape), stream.normal(shape), stream.normal((3, 5)))


# ---- samplers on their own


def samplers() -> Iterator[Case]:
    for row in schedulers.names():
        for name in (row.name, *(f"{row.name} {ending}" for ending in ENDINGS)):
            for compat in (None, "diffusers", "apple"):
                for numerics in ("float32", "float64"):
                    for n in (1, 3, 12):
                        yield f"{name} / {compat} / {numerics} / {n}", partial(_sampled, name, compat, numerics, n)


def _sampled(name: str, compat: Any, numerics: Any, n: int) -> str:
    config = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    sampler = schedulers.sampler_from_name(name, config, numerics, compat)
    plan = sampler.plan(n)
    stream, shape = rng.stream("numpy", 7), (2, 4, 6, 5)
    state = sampler.start(plan, stream.normal(shape) * np.float32(plan.init_scale))
    paths = plan.brownian(shape, 7 if sampler.brownian_seed is None else sampler.brownian_seed)
    found: list[Any] = [plan.timesteps, plan.alphas, plan.sigmas, plan.draws, plan.starts, np.asarray(plan.input_scale)]
    both = getattr(sampler, "needs_unconditional", getattr(sampler, "guided_twice", False))
    for i in range(plan.num_calls):
        output = np.tanh(state.x * np.float32(plan.input_scale[i])) * np.float32(0.7)
        if sampler.doubled_output:
            output = np.concatenate([output, np.sin(output)], axis=1)
        fresh = None
        if plan.draws[i]:
            fresh = stream.normal(shape) if paths is None else paths.normal_between(*plan.intervals[i])
        state = sampler.step(plan, state, output, fresh, unconditional_output=output * np.float32(0.9) if both else None)
        found += [state.x, state.x0]
    return digest(*found)


# ---- whole pictures


def pictures() -> Iterator[Case]:
    pipe = sdrt.load("nano", threads=THREADS)
    draw = partial(drawn, pipe, **QUICK)
    for row in schedulers.names():
        yield f"scheduler {row.name}", partial(draw, scheduler=row.name)
    for ending in ENDINGS:
        for base in ("euler", "dpm++ 2m", "heun", "lms"):
            yield f"scheduler {base} {ending}", partial(draw, scheduler=f"{base} {ending}")
    for name in STREAMS:
        yield f"rng {name}", partial(draw, rng=name, scheduler="euler a", num_images=2)
        yield f"sampler_rng {name}", partial(draw, sampler_rng=name, sampler_seed=5, scheduler="euler a")
        yield f"shared rng {name}", partial(draw, rng=rng.stream(name, 5), seed=None, scheduler="euler a", num_images=2)
    trailing = {"_class_name": "EulerDiscreteScheduler", "beta_schedule": "scaled_linear", "timestep_spacing": "trailing"}
    batching = "guidance_batching" if "guidance_batching" in sdrt.pipeline.GenerateOptions.__annotations__ else "cfg"
    changes: dict[str, dict[str, Any]] = {
        "defaults": {},
        "three images": {"num_images": 3},
        "no guidance": {"guidance_scale": 1.0},
        "guidance 3": {"guidance_scale": 3.0},
        "rescale": {"guidance_rescale": 0.7},
        "size": {"height": 96, "width": 160},
        "eta": {"scheduler": "ddim", "eta": 0.6},
        "clip_skip": {"clip_skip": 1},
        "sequential": {batching: "sequential", "num_images": 2},
        "compat diffusers": {"compat": "diffusers"},
        "compat apple": {"compat": "apple"},
        "compat diffusers clip_skip": {"compat": "diffusers", "clip_skip": 1},
        "config": {"scheduler": trailing},
        "sampler seed": {"scheduler": "dpm++ sde", "sampler_seed": 11},
    }
    for name, change in changes.items():
        yield f"option {name}", partial(draw, **change)
    weighted = "a red (circle:1.7) [square] BREAK on a (blue) background"
    for name, change in {"weighted": {}, "plain": {"prompt_syntax": "plain"}, "no norm": {"emphasis": "no norm"}}.items():
        yield f"prompt {name}", partial(draw, weighted, **change)
    for name, change in {"chunked": {}, "cut": {"long_prompts": "truncate"}}.items():
        yield f"long prompt {name}", partial(draw, LONG, **change)
    yield "float64", partial(drawn_from, "nano", {"numerics": "float64"}, **QUICK)
    for name, load in {"reduced memory": {"reduce_memory": True}, "tiles": {"vae_tiling": True}}.items():
        yield name, partial(drawn_from, "nano", load, **QUICK, height=192, width=192)


def jobs() -> Iterator[Case]:
    lcm = {"_class_name": "LCMScheduler", "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    euler = {**lcm, "_class_name": "EulerDiscreteScheduler"}
    for form in ("sd1", "sd2", "sdxl"):
        draw = partial(drawn_from, MODELS / form, {}, **SMALL)
        for scheduler in ("ddim", "euler a", "dpm++ 2m", "pndm", "euler_cfg_pp"):
            yield f"{form} {scheduler}", partial(draw, scheduler=scheduler)
        yield f"{form} batch", partial(draw, num_images=3)
        yield f"{form} clip_skip", partial(draw, clip_skip=1)
        yield f"{form} no negative", partial(draw, PROMPT, "")
        yield f"{form} unguided", partial(draw, guidance_scale=0.0)
        yield f"{form} long", partial(draw, LONG)
        for name, load in {"float64": {"numerics": "float64"}, "torch": {"backend": "torch"}}.items():
            yield f"{form} {name}", partial(drawn_from, MODELS / form, load, **SMALL)
    sizes: dict[str, Any] = {"original_size": (512, 1024), "crops_coords_top_left": (200, 40), "target_size": (1024, 512)}
    yield "sdxl sizes", partial(drawn_from, MODELS / "sdxl", {}, **SMALL, **sizes)
    refined = partial(drawn_from, MODELS / "sdxl", {"refiner": MODELS / "sdxl-refiner"}, **SMALL)
    for start in (0.05, 0.4, 1.0):
        yield f"refiner {start}", partial(refined, refiner_start=start)
    yield "refiner scores", partial(refined, scheduler=euler, aesthetic_score=60.0, negative_aesthetic_score=1.0)
    for scale in (1.0, 3.0, 8.0):
        yield f"lcm {scale}", partial(drawn_from, MODELS / "lcm", {}, PROMPT, "", **{**SMALL, "guidance_scale": scale}, scheduler=lcm)
    for name in ("euler a", "ddim"):
        keep: dict[str, Any] = {"image": picture(1), "mask_image": mask(), "num_images": 2}
        yield f"in-painting {name}", partial(drawn_from, MODELS / "inpaint", {}, **SMALL, **keep, scheduler=name)
    control: dict[str, Any] = {"controlnet_conditioning_scale": 0.1, "control_guidance_start": 0.2, "control_guidance_end": 0.8}
    for form in ("sd1", "sdxl"):
        one = {"controlnet": MODELS / f"controlnet-{form}-0"}
        yield f"{form} controlnet", partial(drawn_from, MODELS / form, one, **SMALL, **control, control_image=picture(3), num_images=2)
    two = {"controlnet": [MODELS / "controlnet-sd1-0", MODELS / "controlnet-sd1-1"]}
    scales: dict[str, Any] = {"control_image": [picture(3), picture(4)], "controlnet_conditioning_scale": [0.7, 0.4]}
    yield "two controlnets", partial(drawn_from, MODELS / "sd1", two, **SMALL, **scales)
    yield "safety checker", partial(drawn_from, MODELS / "sd1", {"safety_checker": True}, **SMALL, num_images=3)
    for name in ("flow euler", "flow heun"):
        yield name, partial(drawn_from, MODELS / "flow", {}, **SMALL, scheduler=name)


# ---- packages


def packages() -> Iterator[Case]:
    from converter import Attention, ConvertOptions
    from converter.compression import LinearQuantization, Palettization

    every = ("unet", "text_encoder", "vae_decoder", "vae_encoder", "safety_checker")
    sd1, sdxl, control = MODELS / "shallow-sd1", MODELS / "shallow-sdxl", (str(MODELS / "shallow-controlnet"),)
    runs: dict[str, dict[str, Any]] = {
        "sd1": {"model": sd1, "parts": every},
        "sd1 float32": {"model": sd1, "parts": ("unet", "vae_decoder"), "precision": "float32", "float32_weights": True},
        "sd1 original": {"model": sd1, "parts": ("unet",), "attention": Attention.ORIGINAL},
        "sd1 V2": {"model": sd1, "parts": ("unet",), "attention": Attention.SPLIT_EINSUM_V2},
        "sd1 controlnet": {"model": sd1, "parts": ("unet",), "controlnets": control, "unet_support_controlnet": True},
        "sd1 chunks": {"model": sd1, "parts": ("unet",), "chunk": True},
        "sd1 6 bits": {"model": sd1, "parts": ("unet",), "compression": Palettization(nbits=6)},
        "sd1 int8": {"model": sd1, "parts": ("unet",), "compression": LinearQuantization()},
        "sdxl": {"model": sdxl, "parts": ("unet", "text_encoder")},
        "nano": {"model": "nano", "parts": ("unet", "text_encoder", "vae_decoder")},
    }
    for name, options in runs.items():
        out = OUT.parent / f"{OUT.stem}-{name.replace(' ', '-')}"
        fields = {**options, "model": str(options["model"]), "out": out, "check": False}
        yield name, partial(_converted, ConvertOptions(**fields))
    coreml = {"backend": "coreml", "precision": "float16"}
    yield "nano drawn from its packages", partial(drawn_from, OUT.parent / f"{OUT.stem}-nano", coreml, **QUICK)


def _converted(options: Any) -> str:
    """Return the digest of every package's program and weights; metadata, which name versions and options, are left out."""
    import coremltools

    import converter

    converter.convert(options)
    found: list[Any] = []
    for package in sorted(options.out.rglob("*.mlpackage")):
        spec = coremltools.utils.load_spec(str(package))
        spec.description.ClearField("metadata")
        weights = sorted(package.rglob("*.bin"))
        found += [package.name, spec.SerializeToString(deterministic=True), *(file.read_bytes() for file in weights)]
    if not found:
        raise AssertionError(f"{options.out}: no package was made")
    return digest(*found)


GROUPS: dict[str, Callable[[], Iterator[Case]]] = {
    "tokens": tokens,
    "noise": noise,
    "samplers": samplers,
    "pictures": pictures,
    "jobs": jobs,
    "packages": packages,
}


def main() -> None:
    found = {}
    for name, case in GROUPS[GROUP]():
        try:
            found[name] = case()
        except (sdrt.SdrtError, TypeError) as error:
            found[name] = f"refused: {type(error).__name__}"
    OUT.write_text(json.dumps({"checkout": str(Path(sdrt.__file__).parents[1]), "cases": found}, indent=1))


if __name__ == "__main__":
    MODELS, OUT, GROUP, THREADS = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    main()
