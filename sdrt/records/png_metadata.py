"""Settings as texts of a picture: complete JSON under ``sdrt``, and AUTOMATIC1111's plain text under ``parameters``."""

import json
from typing import Any

from sdrt.errors import ConfigError
from sdrt.records.loras import tag_of
from sdrt.records.settings import Settings
from sdrt.values import Instance, Integer

__all__ = ["parameters_text", "text_chunks"]

# AUTOMATIC1111 leaves them out of a LoRA's name, as they part the hashes
_NO_MARKS = str.maketrans("", "", ":,")


def text_chunks(settings: Settings, seed: int, flagged: bool | None = None, *, index: int | None = None) -> dict[str, str]:
    """Return the texts of one picture.

    Parameters
    ----------
    settings : Settings
        The settings of the whole call.
    seed : int
        The seed of this picture. The record holds it with ``num_images`` 1, and so draws this picture alone. If all pictures of a call drew
        from one stream, the record holds the whole call, and ``image`` is the index of this picture.
    flagged : bool or None
        Whether the safety checker flagged this picture, which the record says; None if there was no checker.
    index : int or None
        Which image of the call the picture is; None: the first one with this seed.

    Raises
    ------
    ConfigError : no settings, no whole number, or the seed of no image of the call
    """
    settings, seed = _checked(settings, seed)
    index = _index(settings, seed) if index is None else Integer(0, settings.num_images - 1).check("index", index)
    alone = settings.alone(index)
    record: dict[str, Any] = settings.to_dict() | {"image": index} if settings.shared_streams else alone.to_dict()
    if flagged is not None:
        record |= {"flagged": flagged}
    return {"parameters": parameters_text(alone, seed), "sdrt": json.dumps(record, ensure_ascii=False, sort_keys=True, allow_nan=False)}


def _index(settings: Settings, seed: int) -> int:
    if seed in settings.seeds:
        return settings.seeds.index(seed)
    count = 1 if settings.subseed_strength else settings.num_images
    if settings.seeds or not 0 <= seed - settings.seed < count:
        raise ConfigError(f"seed must be that of an image of the call, got {seed}; pass one of Result.seeds")
    return seed - settings.seed


def parameters_text(settings: Settings, seed: int) -> str:
    """Return the form that AUTOMATIC1111's web UI writes and most tools show: prompt, negative prompt, then ``Key: value`` pairs.

    Source: AUTOMATIC1111/stable-diffusion-webui 1.10.1, ``modules/processing.py::create_infotext``. A value that holds a comma or a colon
    is quoted as JSON, as that file does.
    """
    settings, seed = _checked(settings, seed)
    pairs: dict[str, object] = {
        "Steps": settings.num_inference_steps,
        "Sampler": settings.scheduler,
        "CFG scale": f"{settings.guidance_scale:g}",
        "Seed": seed,
        "Size": f"{settings.width}x{settings.height}",
        "Model": settings.model,
        "RNG": settings.rng,
    }
    if settings.sampler_rng is not None:
        pairs["Sampler RNG"] = settings.sampler_rng
    if settings.sampler_seed is not None:
        # A1111's eta noise seed delta: the second stream's seed relative to the picture's
        pairs["ENSD"] = settings.sampler_seed - settings.seed
    if settings.subseed_strength:
        pairs |= {"Variation seed": settings.subseed, "Variation seed strength": f"{settings.subseed_strength:g}"}
    if settings.seed_resize_from is not None:
        height, width = settings.seed_resize_from
        pairs["Seed resize from"] = f"{width}x{height}"
    pairs |= _hires_pairs(settings)
    if settings.guidance_rescale:
        pairs["CFG rescale"] = f"{settings.guidance_rescale:g}"
    if settings.eta:
        pairs["Eta"] = f"{settings.eta:g}"
    if settings.clip_skip:
        # A1111 counts from 1: 1 skips no layer
        pairs["Clip skip"] = settings.clip_skip + 1
    if settings.emphasis != "original":
        pairs["Emphasis"] = "No norm"
    if used := {token: sha256[:12] for token, sha256 in settings.embeddings.items() if _mentions(settings, token)}:
        pairs["TI hashes"] = ", ".join(f"{token}: {short}" for token, short in used.items())
    if hashes := {name: lora.data_sha256[:12] for name, lora in settings.loras.items() if lora.strength or lora.te_strength}:
        pairs["Lora hashes"] = ", ".join(f"{name.translate(_NO_MARKS)}: {short}" for name, short in hashes.items())
    pairs["Version"] = f"sdrt {settings.version}"
    negative = f"\nNegative prompt: {settings.negative_prompt}" if settings.negative_prompt else ""
    # those of the pipeline are named too, so that the text draws the picture in another tool
    tags = [tag_of(name, lora) for name, lora in settings.loras.items() if not lora.in_prompt and (lora.strength or lora.te_strength)]
    prompt = " ".join((settings.prompt, *filter(None, tags)))
    return f"{prompt}{negative}\n" + ", ".join(f"{key}: {_quoted(str(value))}" for key, value in pairs.items())


def _hires_pairs(settings: Settings) -> dict[str, object]:
    """Return what AUTOMATIC1111 writes of hi-res fix."""
    conditions = settings.conditions
    if "hires_scale" not in conditions:
        return {}
    pairs: dict[str, object] = {
        "Denoising strength": f"{conditions['hires_denoising']:g}",
        "Hires upscale": f"{conditions['hires_scale']:g}",
        "Hires steps": conditions["hires_steps"],
        "Hires upscaler": conditions["hires_upscaler"],
    }
    named = {"Hires CFG Scale": "hires_guidance_scale", "Hires prompt": "hires_prompt", "Hires negative prompt": "hires_negative_prompt"}
    pairs |= {key: conditions[name] for key, name in named.items() if name in conditions}
    return pairs | ({"Hires sampler": conditions["hires_scheduler"]["_sdrt"]["name"]} if "hires_scheduler" in conditions else {})


def _checked(settings: Settings, seed: int) -> tuple[Settings, int]:
    return Instance(Settings).check("settings", settings), Integer().check("seed", seed)


def _mentions(settings: Settings, token: str) -> bool:
    texts = (text for pairs in settings.encoder_texts for pair in pairs for text in pair)
    return any(token.lower() in text.lower() for text in texts)


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False) if any(mark in value for mark in ',:\n"') else value
