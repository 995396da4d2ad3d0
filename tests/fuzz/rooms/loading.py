"""The options of ``sdrt.load`` and the paths that models are opened from."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sdrt
from sdrt import models
from tests.fake_backend import FakeBackend
from tests.fuzz.drawing import Draw
from tests.fuzz.values import FLAG, PATH, TEXT, WHOLE, Declared, any_value, ascii_of, near, one_of, wrong_kinds

_LOAD: Mapping[str, Any] = {
    "model": "nano",
    "backend": "numpy",
    "numerics": "float32",
    "embeddings": [],
    "loras": [("x.safetensors", 0.5)],
    "lora_dir": ".",
    "controlnet": [],
    "ip_adapter": [],
    "refiner": None,
    "vae": None,
    "preview_vae": None,
    "variant": "fp16",
    "prediction_type": "epsilon",
    "pickled": "refuse",
    "reduce_memory": True,
    "vae_tiling": True,
    "safety_checker": False,
    "flagged_pictures": "blurred",
    "tokenizer": None,
    "config": None,
    "threads": 1,
    "limits": None,
    "dtype": "float32",
}
_DECLARED: Mapping[str, Declared] = {
    "model": PATH,
    "numerics": one_of("float32", "float64"),
    "lora_dir": PATH,
    "refiner": PATH,
    "vae": PATH,
    "preview_vae": PATH,
    "variant": TEXT,
    "prediction_type": one_of("epsilon", "v_prediction"),
    "pickled": one_of("refuse", "weights_only"),
    "reduce_memory": FLAG,
    "vae_tiling": FLAG,
    "safety_checker": FLAG,
    "flagged_pictures": one_of("black", "blurred"),
    "tokenizer": PATH,
    "threads": WHOLE,
}


def load(draw: Draw) -> str | None:
    """Options of ``sdrt.load``, of other kinds or nearly right."""
    options: dict[str, Any] = {"threads": 1}
    for name in draw.some(list(_LOAD), 3):
        good = _LOAD[name]
        options[name] = good if draw.chance(0.15) else near(draw, good) if draw.chance(0.3) else any_value(draw)
        draw.note(f"{name} = {ascii_of(options[name])}")
    if draw.chance(0.5):
        options.setdefault("backend", FakeBackend())
    with sdrt.load(**options) as pipe:
        pipe.resolve("a red circle", seed=1, num_inference_steps=1)
    return wrong_kinds(options, _DECLARED)


def path(draw: Draw) -> str | None:
    """Paths that lead nowhere, or to what is no model."""
    (draw.place / "file.txt").write_text("hello")
    (draw.place / "empty").mkdir()
    (draw.place / "loop").symlink_to("loop")
    (draw.place / "typo").mkdir()
    texts = ("file.txt", "empty", "loop", "typo/x.safetensors", "typo/model.ckpt", "missing", "a/b", "a/b/c", "", ".", "x" * 5_000, "nul\0")
    chosen: Any = draw.choice(texts)
    if draw.chance(0.7) and chosen and "\0" not in chosen:
        chosen = draw.place / chosen
        chosen = chosen if draw.chance(0.5) else str(chosen)
    elif draw.chance(0.3):
        chosen = draw.choice(
            ("~nouser/x", "~", "http://x/y", "https://huggingface.co/a/b", "a" * 97 + "/b", "a/..", "--/--", "a b/c", "\x1b[31m/x")
        )
    draw.note(f"model = {ascii_of(chosen)}")
    options = {name: near(draw, good) for name, good in (("variant", "fp16"), ("prediction_type", "epsilon")) if draw.chance(0.1)}
    opened: models.StoredModel
    if draw.chance(0.5):
        opened = models.open_model(chosen, **options)
    else:
        component: Any = draw.choice(("controlnet", "vae_decoder", any_value(draw)))
        opened = models.open_component(chosen, component)
    return f"opened as {type(opened).__name__}" if not isinstance(chosen, str | Path) else None


def fingerprint(draw: Draw) -> str | None:
    """Fingerprints of whatever is asked for."""
    from sdrt.models.fingerprint import fingerprint as fingerprint_of

    folder = draw.copy_of(draw.materials.nano)
    paths: Any = (
        any_value(draw) if draw.chance(0.5) else [draw.choice((folder, folder / "missing", draw.place / ("x" * 300), any_value(draw)))]
    )
    draw.note(f"paths = {ascii_of(paths)}")
    found = fingerprint_of(paths)
    return None if len(found) == 16 else f"no fingerprint: {found}"


def openings(draw: Draw) -> str | None:
    """A VAE, a ControlNet, an embedding or a refiner that is something else."""
    kept = draw.materials
    places = (kept.nano, kept.sd1, kept.checkpoint, kept.controlnet, kept.core_ml, kept.embedding, kept.record, kept.sd1 / "vae", kept.lora)
    options: dict[str, Any] = {"model": draw.choice((kept.nano, kept.sd1, kept.checkpoint, *places)), "threads": 1}
    beside = ("vae", "preview_vae", "controlnet", "ip_adapter", "image_encoder", "embeddings", "loras", "lora_dir", "refiner")
    for name in draw.some((*beside, "tokenizer", "config"), 2):
        place = draw.choice(places)
        options[name] = [place] if name in ("embeddings", "loras") else place
    draw.note(", ".join(f"{name}={value.name if isinstance(value, Path) else value}" for name, value in options.items()))
    with sdrt.load(**options) as pipe:
        pipe.resolve("a red circle", seed=1, num_inference_steps=1)
    return None


GENERATORS = {"load-options": load, "load-path": path, "load-others": openings, "fingerprint": fingerprint}
