"""Write the companions of the embedded model beside it, with half-precision weights.

    python -m training.export_companions --model sdrt/models/nano --out DIR --to sdrt/models

Writes TO/nano-edges (a ControlNet), TO/nano-inpaint (a U-Net; the other components are the model's), TO/nano-outline (a LoRA),
TO/nano-upscale (an upscaler) and TO/nano-quick (a quick autoencoder), as far as DIR has their checkpoints, finished or not. Each folder is
written beside its place and then renamed.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from training.export import forget_origin, write_json
from training.low_rank import tensors
from training.train_controlnet import load_controlnet
from training.train_inpaint import load_inpaint
from training.train_lora import load_lora
from training.train_quick_vae import load_quick
from training.train_upscaler import load_upscaler

_KEPT_BITS = 8  # of a float16's ten bits of mantissa; zeros for the others, which a wheel then packs

DESCRIPTIONS = {
    "nano-edges": (
        "A ControlNet for nano: control_image shows edges, white on black, as Canny draws them or a hand; shapes, sizes and places follow "
        "them, and colours follow the prompt, which need not name a shape. Example: a red shape on a blue background."
    ),
    "nano-inpaint": (
        "nano's in-painting model, of nine channels: it keeps the picture outside the mask, and draws in the hole what the prompt says, "
        "which may name the whole picture or what goes into the hole. Example: a red star."
    ),
    "nano-outline": (
        "A LoRA for nano, a drawing style: every object has a thick outline, white, or black or red where white would not show. "
        "Prompts are nano's."
    ),
    "nano-upscale": (
        "An upscaler for nano's pictures, in Real-ESRGAN's compact form: twice as wide and as high, with sharper edges than a resampling "
        "leaves."
    ),
    "nano-quick": (
        "A quick autoencoder for nano, in the form of TAESD: it makes pictures of nano's latents, and latents of pictures, in a "
        "fraction of the time of nano's own VAE. For previews, or in its place."
    ),
}

# Where a prompt names no shape, strong guidance leaves blotches of other colours.
PREFERENCES = {"nano-edges": {"guidance_scale": 2.0}}


def half(tensor: torch.Tensor) -> torch.Tensor:
    """Round to a float16 of `_KEPT_BITS` bits of mantissa.

    >>> half(torch.tensor([1.0 + 1 / 256, 1.0 + 1 / 1024])).tolist()
    [1.00390625, 1.0]
    """
    dropped = 10 - _KEPT_BITS
    bits = tensor.to(torch.float16).contiguous().view(torch.int16).to(torch.int32)
    rounded = (bits + (1 << (dropped - 1)) - 1 + ((bits >> dropped) & 1)) >> dropped << dropped
    return rounded.to(torch.int16).view(torch.float16)


def _write_network(model: torch.nn.Module, folder: Path) -> None:
    model.float().save_pretrained(folder)  # type: ignore[operator]
    forget_origin(folder / "config.json")
    for weights in folder.glob("*.safetensors"):
        save_file({name: half(tensor) for name, tensor in load_file(weights).items()}, weights, metadata={"format": "pt"})


def _write_lora(model: Path, checkpoint: Path, folder: Path) -> None:
    folder.mkdir(parents=True)
    weights = {name: half(tensor) for name, tensor in tensors(load_lora(model, checkpoint)).items()}
    save_file(weights, folder / "nano-outline.safetensors", metadata={"format": "pt"})


def _write_upscaler(checkpoint: Path, folder: Path) -> None:
    folder.mkdir(parents=True)
    weights = {name: half(tensor) for name, tensor in load_upscaler(checkpoint).state_dict().items()}
    save_file(weights, folder / "nano-upscale.safetensors", metadata={"format": "pt"})


def export(model: Path, out: Path, to: Path) -> dict[str, int]:
    """Write the companions whose checkpoints exist; return the bytes of each."""
    writers: dict[str, tuple[str, Callable[[Path, Path], None]]] = {
        "nano-edges": ("controlnet.pt", lambda checkpoint, folder: _write_network(load_controlnet(model, checkpoint), folder)),
        "nano-inpaint": ("inpaint.pt", lambda checkpoint, folder: _write_network(load_inpaint(model, checkpoint), folder / "unet")),
        "nano-quick": ("quick.pt", lambda checkpoint, folder: _write_network(load_quick(checkpoint), folder)),
        "nano-upscale": ("upscaler.pt", _write_upscaler),
        "nano-outline": ("lora.pt", lambda checkpoint, folder: _write_lora(model, checkpoint, folder)),
    }
    sizes = {}
    for name, (checkpoint, write) in writers.items():
        if (out / checkpoint).exists():
            unfinished = to / f"{name}.unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)
            write(out / checkpoint, unfinished)
            write_json(unfinished / "sdrt.json", {**PREFERENCES.get(name, {}), "description": DESCRIPTIONS[name]})
            sizes[name] = sum(path.stat().st_size for path in unfinished.rglob("*") if path.is_file())
            shutil.rmtree(to / name, ignore_errors=True)
            unfinished.rename(to / name)
    return sizes


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="folder of the embedded model")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--to", type=Path, required=True, help="folder that holds the models")
    options = parser.parse_args()
    print(json.dumps(export(options.model, options.out, options.to)))


if __name__ == "__main__":
    main()
