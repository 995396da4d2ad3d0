"""Combine the trained networks in a diffusers folder with half-precision weights.

    python -m training.export --out DIR --to sdrt/models/nano

An unfinished U-Net can be exported too. The folder is written beside its place and then renamed, so readers never see an incomplete one.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from training.denoising import BETA_END, BETA_START, NUM_TRAIN_TIMESTEPS
from training.encode import load_encoders
from training.scenes import PICTURE
from training.train_unet import load_unet

SIZE_LIMIT = 9_900_000  # bytes of the whole folder
NUM_INFERENCE_STEPS, GUIDANCE_SCALE = 20, 3.0

MODEL_INDEX: dict[str, Any] = {
    "_class_name": "StableDiffusionPipeline",
    "_diffusers_version": "0.42.1",
    "feature_extractor": [None, None],
    "image_encoder": [None, None],
    "requires_safety_checker": False,
    "safety_checker": [None, None],
    "scheduler": ["diffusers", "DPMSolverMultistepScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}
# The last four are for schedulers that may replace this one: a DDIM with its defaults clips these latents and draws nothing.
SCHEDULER: dict[str, Any] = {
    "_class_name": "DPMSolverMultistepScheduler",
    "_diffusers_version": "0.42.1",
    "algorithm_type": "dpmsolver++",
    "beta_end": BETA_END,
    "beta_schedule": "scaled_linear",
    "beta_start": BETA_START,
    "final_sigmas_type": "zero",
    "lower_order_final": True,
    "num_train_timesteps": NUM_TRAIN_TIMESTEPS,
    "prediction_type": "v_prediction",
    "solver_order": 2,
    "solver_type": "midpoint",
    "thresholding": False,
    # From pure noise on, steps that divide 1000 are those of diffusers' DDIM and PNDM: every scheduler agrees with its counterpart there.
    "timestep_spacing": "trailing",
    "trained_betas": None,
    "clip_sample": False,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
}
DEFAULTS: dict[str, Any] = {
    "num_inference_steps": NUM_INFERENCE_STEPS,
    "guidance_scale": GUIDANCE_SCALE,
    "height": PICTURE,
    "width": PICTURE,
    "description": (
        "A small latent diffusion model of plain shapes: circle, square, triangle, star, heart, cross, ring, diamond, small or large, in "
        "red, orange, yellow, green, cyan, blue, purple, pink, black or white, at the left, right, top, bottom or in a corner; also two "
        "objects ('and', 'above', 'below'). Example: a red circle on a blue background."
    ),
}
# Present in the configuration of every Stable Diffusion text encoder. Transformers 5 reads it, but does not write it.
_TEXT_PREFIX = "text_model."


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2, sort_keys=False) + "\n", encoding="utf-8")


def forget_origin(config: Path) -> None:
    """Remove from a configuration the local folder that diffusers records in it."""
    settings = json.loads(config.read_text(encoding="utf-8"))
    write_json(config, {key: value for key, value in settings.items() if key != "_name_or_path"})


def _halve(weights: Path, prefix: str) -> None:
    """Rewrite a safetensors file in float16. Its configuration still says float32, so a plain `from_pretrained` casts up."""
    tensors = {prefix + name.removeprefix(prefix): tensor.to(torch.float16).contiguous() for name, tensor in load_file(weights).items()}
    save_file(tensors, weights, metadata={"format": "pt"})


def defaults(to: Path) -> dict[str, Any]:
    """Return what the model's ``sdrt.json`` says: `DEFAULTS`, and of the model that is replaced what its previews are drawn by.

    ``latent_rgb`` and ``quick_vae`` belong to the encoder's latents: fit them again (`training.fit_latent_rgb`, `training.train_quick_vae`)
    where that was trained anew.
    """
    before = json.loads(file.read_text(encoding="utf-8")) if (file := to / "sdrt.json").exists() else {}
    return DEFAULTS | {name: before[name] for name in ("latent_rgb", "quick_vae") if name in before}


def export(out: Path, to: Path, *, decoder: Path | None = None, text: Path | None = None) -> int:
    """Write the model folder, and return its size in bytes.

    Parameters
    ----------
    decoder : Path, optional
        The folder of the autoencoder to ship instead of OUT/vae; it must have the same encoder.
    text : Path, optional
        The folder of the text encoder to ship instead of OUT/text_encoder.
    """
    encoders = load_encoders(out, vae=decoder, text=text)
    unfinished = to.with_name(to.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    for name, model in {"vae": encoders.vae, "unet": load_unet(out / "unet.pt"), "text_encoder": encoders.text}.items():
        model.float().save_pretrained(unfinished / name)
        forget_origin(unfinished / name / "config.json")
        for weights in (unfinished / name).glob("*.safetensors"):
            _halve(weights, _TEXT_PREFIX if name == "text_encoder" else "")
    shutil.copytree(out / "tokenizer", unfinished / "tokenizer")
    write_json(unfinished / "scheduler" / "scheduler_config.json", SCHEDULER)
    write_json(unfinished / "model_index.json", MODEL_INDEX)
    write_json(unfinished / "sdrt.json", defaults(to))
    size = sum(path.stat().st_size for path in unfinished.rglob("*") if path.is_file())
    if size > SIZE_LIMIT:
        raise ValueError(f"the model folder must have at most {SIZE_LIMIT} bytes, got {size}; make a network smaller")
    shutil.rmtree(to, ignore_errors=True)
    unfinished.rename(to)
    return size


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--to", type=Path, required=True, help="folder of the model")
    parser.add_argument("--decoder", type=Path, help="folder of an autoencoder with a better decoder")
    parser.add_argument("--text", type=Path, help="folder of a distilled text encoder")
    options = parser.parse_args()
    print(options.to, export(options.out, options.to, decoder=options.decoder, text=options.text), "bytes")


if __name__ == "__main__":
    main()
