"""The embedded model's picture from every backend and from every form of its Core ML packages, side by side.

    python -m benchmarks.pictures [--png docs/backends.png] [--out pictures.json]

Converts the model anew for each form, draws one prompt with one seed, and states how close each picture is to the numpy backend's.
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
class Way:
    """How a picture is drawn.

    Parameters
    ----------
    label : str
    options : mapping
        Of `ConvertOptions`.
    compression : Compression or None
    """

    label: str
    options: Mapping[str, Any] = field(default_factory=dict)
    compression: Compression | None = None


_WAYS = (
    Way("Core ML float32\nORIGINAL", {"precision": "float32", "float32_weights": True, "attention": Attention.ORIGINAL}),
    Way("Core ML float32\nSPLIT_EINSUM", {"precision": "float32", "float32_weights": True}),
    Way("Core ML float16\nORIGINAL", {"attention": Attention.ORIGINAL}),
    Way("Core ML float16\nSPLIT_EINSUM, chunks", {"chunk": True}),
    Way("Core ML float16\nSPLIT_EINSUM_V2", {"attention": Attention.SPLIT_EINSUM_V2}),
    Way("Core ML float16\n8 bits", compression=Palettization(nbits=8)),
    Way("Core ML float16\n6 bits", compression=Palettization(nbits=6)),
)


def measure(png: Path | None) -> dict[str, Any]:
    """PSNR in dB of each picture against the numpy backend's, by what drew it."""
    pictures = {"numpy": _draw("nano", "numpy"), "torch": _draw("nano", "torch")}
    for way in _WAYS:
        print(way.label.replace("\n", ", "), flush=True)
        with tempfile.TemporaryDirectory() as folder:
            # compression is for trained weights with a bar of the caller's; what it costs is what is shown here
            convert(ConvertOptions(model="nano", out=Path(folder), parts=_PARTS, compression=way.compression, **way.options))
            # the precision that the package was made for: what the Neural Engine or GPU rounds
            pictures[way.label] = _draw(folder, "coreml", precision=way.options.get("precision", "float16"))
    figures = {label: _psnr(picture, pictures["numpy"]) for label, picture in pictures.items() if label != "numpy"}
    if png is not None:
        png.parent.mkdir(exist_ok=True)
        _row(pictures, figures).save(png, optimize=True)
    return {label.replace("\n", ", "): value for label, value in figures.items()}


def _draw(model: str, backend: str, **options: Any) -> Array:
    with sdrt.load(model, backend, **options) as pipe:
        return np.asarray(pipe.generate(_PROMPT, seed=_SEED).images[0])


def _psnr(picture: Array, reference: Array) -> float:
    """20 log10(255 / rmse) of 8-bit pictures; equal ones are infinitely close, and JSON has no word for that."""
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
    found = measure(arguments.png)
    print(json.dumps(found, indent=2))
    if arguments.out is not None:
        write(arguments.out, "pictures", found)
