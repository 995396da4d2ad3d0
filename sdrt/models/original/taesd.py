"""A quick autoencoder by the names of its first code: layers are numbered, in a file for each half or in one for both.

Source: ``taesd.py`` of madebyollin/taesd (the writer's names: a decoder's layer 0 bends the latents, and has no weights), ``EncoderTiny``
and ``DecoderTiny`` of diffusers 0.42.1 (ours). ``vae_approx`` files of other programs have both halves under ``taesd_encoder.`` and
``taesd_decoder.``.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

from sdrt.errors import ModelError
from sdrt.models.components.autoencoder_tiny import TINY
from sdrt.models.original.down_path import Shapes

__all__ = ["QUICK_ROOTS", "QuickHalf", "canonical_names", "quick_config"]

QuickHalf: TypeAlias = Literal["encoder", "decoder"]

QUICK_ROOTS = ("encoder.", "decoder.", "taesd_encoder.", "taesd_decoder.")

_LAYER = re.compile(r"(?:(?:taesd_)?(encoder|decoder)\.)?(layers\.)?(\d+)\.((?:conv\.\d+\.)?(?:weight|bias))")


def canonical_names(names: Iterable[str]) -> dict[str, str]:
    """Map the names of a file to diffusers' names; empty where they are not those of a quick autoencoder.

    >>> canonical_names(["1.weight", "1.bias", "3.conv.0.weight"])
    {'1.bias': 'decoder.layers.0.bias', '1.weight': 'decoder.layers.0.weight', '3.conv.0.weight': 'decoder.layers.2.conv.0.weight'}
    >>> canonical_names(["taesd_encoder.0.weight"])
    {'taesd_encoder.0.weight': 'encoder.layers.0.weight'}
    >>> canonical_names(["decoder.conv_in.weight"])
    {}
    """
    there = frozenset(names)
    # the first layer of an encoder alone is a convolution
    alone: QuickHalf = "encoder" if "0.weight" in there else "decoder"
    canonical = {}
    for name in there:
        if (match := _LAYER.fullmatch(name)) is None:
            return {}
        half = match[1] or alone
        place = int(match[3]) - (half == "decoder" and match[2] is None)
        canonical[name] = f"{half}.layers.{place}.{match[4]}"
    return dict(sorted(canonical.items(), key=lambda item: item[0]))


def quick_config(file: Path, half: QuickHalf, shapes: Shapes) -> dict[str, Any]:
    """Derive the configuration of one half from the shapes under diffusers' names; the other half's keys keep their defaults.

    Raises
    ------
    ModelError : the layers are not those of a quick autoencoder
    """
    layers = {name.removeprefix(f"{half}.layers."): shape for name, shape in shapes.items() if name.startswith(f"{half}.layers.")}
    blocks, last = _blocks_of_levels(layers, place=2 if half == "decoder" else 1, upsamples=half == "decoder")
    ends = [layers.get(f"{place}.weight", ()) for place in (0, last)]
    if not blocks or any(len(shape) != 4 for shape in ends):
        raise ModelError(f"{file}: the layers of its {half} must be those of a quick autoencoder (TAESD), got others; fetch the file again")
    first, final = ends
    outside, latents = (final[0], first[1]) if half == "decoder" else (first[1], final[0])
    return {
        "_class_name": TINY,
        "out_channels" if half == "decoder" else "in_channels": outside,
        "latent_channels": latents,
        f"{half}_block_out_channels": [first[0]] * len(blocks),
        f"num_{half}_blocks": blocks,
    }


def _blocks_of_levels(layers: Mapping[str, tuple[int, ...]], place: int, *, upsamples: bool) -> tuple[list[int], int]:
    """Count the blocks of each level, and return them with the place of the last layer; nothing where the layers stop before it."""
    blocks, count = [], 0
    while True:
        if f"{place}.conv.0.weight" in layers:
            place, count = place + 1, count + 1
            continue
        blocks.append(count)
        count = 0
        # a decoder enlarges before each convolution between two levels; the last convolution alone has a bias
        between = place + 1 if upsamples and f"{place}.weight" not in layers else place
        if f"{between}.weight" not in layers:
            return [], place
        if f"{between}.bias" in layers:
            return blocks, between
        place = between + 1
