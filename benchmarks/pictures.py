"""The embedded model's picture from every backend, and from every form of its Core ML packages, side by side.

    python -m benchmarks.pictures [--png docs/backends.png] [--out pictures.json]

Converts the model again for each form, draws one prompt with one seed, and reports how close each picture is to the numpy backend's.
"""

import argparse
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

import sdrt
from benchmarks.report import write
from converter.compression import Compression, Palettization
from converter.conversion import convert
from converter.options import Attention, ConvertOptions
from sdrt.arrays import Array

_PROMPT, _SEED = "a yellow star above a green square on a black background", 93
_PARTS = ("unet", "text_encoder", "vae_decoder")
_LABEL = 44  # pixels below each picture


@dataclass(frozen=True)
class Variant:
    """One way to draw a picture.

    Parameters
    ----------
    label : str
    options : mapping
        For `ConvertOptions`.
    compression : Compression or None
    """

    label: str
    options: Mapping[str, Any] = field(default_factory=dict)
    compression: Compression | None = None


_VARIANTS = (
    Variant("Core ML float32\nORIGINAL", {"precision": "float32", "float32_weights": True, "attention": Attention.ORIGINAL}),
    Variant("Core ML float32\nSPLIT_EINSUM", {"precision": "float32", "float32_weights": True}),
    Variant("Core ML float16\nORIGINAL", {"attention": Attention.ORIGINAL}),
    Variant("Core ML float16\nSPLIT_EINSUM, chunks", {"chunk": True}),
    Variant("Core ML float16\nSPLIT_EINSUM_V2", {"attention": Attention.SPLIT_EINSUM_V2}),
    Variant("Core ML float16\n8 bits", compression=Palettization(nbits=8)),
    Variant("Core ML float16\n6 bits", compression=Palettization(nbits=6)),
)


def measure(png: Path | None) -> dict[str, Any]:
    """Return the PSNR in dB of each picture against the numpy backend's, by label."""
    pictures = {"numpy": _draw("nano", "numpy"), "torch": _draw("nano", "torch")}
    for variant in _VARIANTS:
        print(variant.label.replace("\n", ", "), flush=True)
        with tempfile.TemporaryDirectory() as folder:
            # Compression is for trained weights and a bound of the caller's; here its loss is what is shown.
            convert(ConvertOptions(model="nano", out=Path(folder), parts=_PARTS, compression=variant.compression, **variant.options))
            # The precision that the package was made for, to which the Neural Engine or GPU rounds.
            pictures[variant.label] = _draw(folder, "coreml", precision=variant.options.get("precision", "float16"))
    figures = {label: _psnr(picture, pictures["numpy"]) for label, picture in pictures.items() if label != "numpy"}
    if png is not None:
        png.parent.mkdir(exist_ok=True)
        _row(pictures, figures).save(png, optimize=True)
    return {label.replace("\n", ", "): value for label, value in figures.items()}


def _draw(model: str, backend: str, **options: Any) -> Array:
    with sdrt.load(model, backend, **options) as pipe:
        return np.asarray(pipe.generate(_PROMPT, seed=_SEED).images[0])


def _psnr(picture: Array, reference: Array) -> float:
    """Return 20 log10(255 / rmse) of 8-bit pictures; 999 for equal ones, since JSON has no infinity."""
    error = float(np.sqrt(np.mean((picture.astype(np.float64) - reference) ** 2)))
    return 20 * float(np.log10(255 / error)) if error else 999.0


def _row(pictures: Mapping[str, Array], figures: Mapping[str, float]) -> Image.Image:
    side = len(next(iter(pictures.values())))
    image = Image.new("RGB", (len(pictures) * (side + 6), side + _LABEL), "white")
    pen = ImageDraw.Draw(image)
    for index, (label, picture) in enumerate(pictures.items()):
        left = index * (side + 6) + 3
        image.paste(Image.fromarray(picture), (left, 0))
        figure = figures.get(label)
        close = "" if figure is None else "every pixel equal" if figure == 999.0 else f"{figure:.1f} dB"
        pen.multiline_text((left, side + 2), f"{label}\n{close}", fill="black", font_size=11, spacing=1)
    return image


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pictures", description="The embedded model's picture from every backend.")
    parser.add_argument("--png", type=Path, help="picture to write")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    results = measure(arguments.png)
    print(json.dumps(results, indent=2))
    if arguments.out is not None:
        write(arguments.out, "pictures", results)
