"""The converter's options; nothing is converted, for whatever is accepted is only looked at."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from converter.compression.settings import LinearQuantization, MixedBits, Palettization, Pruning
from converter.conversion import convert
from converter.options import ConvertOptions
from tests.fuzz.drawing import Draw
from tests.fuzz.values import FLAG, NUMBER, PATH, TEXT, WHOLE, Declared, any_value, ascii_of, near, one_of, wrong_kinds

_GOOD: Mapping[str, Any] = {
    "model": "nano",
    "out": Path("out"),
    "parts": ("unet",),
    "controlnets": (),
    "refiner": None,
    "vae": None,
    "loras": (("x.safetensors", 1.0),),
    "attention": "ORIGINAL",
    "unet_support_controlnet": False,
    "batch": 2,
    "sizes": ((64, 64),),
    "latent_height": 8,
    "latent_width": 8,
    "text_token_sequence_length": 77,
    "text_encoder_hidden_size": 768,
    "precision": "float16",
    "float32_weights": False,
    "timestep_dtype": "float16",
    "compression": None,
    "chunk": False,
    "merge_chunks": False,
    "compute_unit": "ALL",
    "deployment_target": "macOS13",
    "check": True,
    "min_psnr": 30.0,
    "bundle": False,
    "overwrite": False,
    "cache_dir": None,
    "variant": None,
    "prediction_type": None,
    "pickled": "refuse",
}
_FLAGS = ("unet_support_controlnet", "float32_weights", "chunk", "merge_chunks", "check", "bundle", "overwrite")
_WHOLES = ("batch", "latent_height", "latent_width", "text_token_sequence_length", "text_encoder_hidden_size")
_DECLARED: Mapping[str, Declared] = {
    **dict.fromkeys(_FLAGS, FLAG),
    **dict.fromkeys(_WHOLES, WHOLE),
    **dict.fromkeys(("precision", "timestep_dtype"), one_of("float16", "float32")),
    **dict.fromkeys(("refiner", "vae", "model", "out", "cache_dir"), PATH),
    "variant": TEXT,
    "min_psnr": NUMBER,
    "pickled": one_of("refuse", "weights_only"),
    "prediction_type": one_of("epsilon", "v_prediction"),
}
_COMPRESSION: Mapping[type, Mapping[str, Any]] = {
    Palettization: {"nbits": 6, "min_elements": 100},
    LinearQuantization: {"nbits": 8, "block_size": 32, "min_elements": 100},
    Pruning: {"sparsity": 0.5, "min_elements": 100},
    MixedBits: {"target_bytes": 10**6, "min_elements": 100},
}
_COMPRESSION_KINDS: Mapping[str, Declared] = {
    **dict.fromkeys(("nbits", "min_elements", "block_size", "target_bytes"), WHOLE),
    **dict.fromkeys(("sparsity", "min_psnr"), NUMBER),
}


def options(draw: Draw) -> str | None:
    """``ConvertOptions``."""
    given: dict[str, Any] = {"model": "nano", "out": draw.place / "out"}
    for name in draw.some(list(_GOOD), 3):
        good = _GOOD[name]
        given[name] = near(draw, good) if draw.chance(0.4) else any_value(draw) if draw.chance(0.8) else good
        draw.note(f"{name} = {ascii_of(given[name])}")
    ConvertOptions(**given)
    return wrong_kinds(given, _DECLARED)


def compression(draw: Draw) -> str | None:
    """The settings of each way to make weights smaller."""
    kind = draw.choice(list(_COMPRESSION))
    given = dict(_COMPRESSION[kind])
    for name in draw.some(list(given), 2):
        given[name] = near(draw, given[name]) if draw.chance(0.4) else any_value(draw)
    draw.note(f"{kind.__name__} {', '.join(f'{name} = {ascii_of(value)}' for name, value in given.items())}")
    kind(**given)
    return wrong_kinds(given, _COMPRESSION_KINDS)


def missing_models(draw: Draw) -> str | None:
    """``convert`` of what is no model: refused before anything is made."""
    kept = draw.materials
    model: Any = draw.choice((kept.embedding, kept.record, kept.core_ml, draw.place / "missing", kept.lora, draw.place, "", "a b", "nano/"))
    draw.note(ascii_of(model))
    out = draw.place / "out"
    convert(ConvertOptions(model=str(model), out=out, parts=("vae_decoder",)))
    return "converted"


GENERATORS = {"convert-options": options, "compression": compression, "convert-models": missing_models}
