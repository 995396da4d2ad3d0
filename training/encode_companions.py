"""Encode scenes for the companions of the embedded model, with its own encoders.

    python -m training.encode_companions --model sdrt/models/nano --out DIR --kind control --chunks 8
    python -m training.encode_companions --model sdrt/models/nano --out DIR --kind hole --chunks 8
    python -m training.encode_companions --model sdrt/models/nano --out DIR --kind outlined --chunks 3

Writes DIR/data/{control,hole,outlined}-NN/*.npy; finished chunks are kept, so a second run adds to them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from training import chunks
from training.captions import caption, shapeless_caption, unplaced_caption
from training.chunks import BATCH, Arrays
from training.edges import draw_edges, sample_pen
from training.encode import CAPTIONS, FORM, Encoders, cell_weights, load_model_encoders
from training.masks import Mask, apart, cells, half, hide, hole_around, sample_mask
from training.outlines import render_outlined
from training.scattering import sample_unplaced, scatter
from training.scenes import Placement, Scene, choice, place, render, sample
from training.shapes import Field

VARIANTS = 2  # drawings of the edges, or masks, of each scene
FORMS: dict[str, chunks.Form] = {
    "control": FORM | {"edges": (np.uint8, (VARIANTS, 128, 128))},
    "hole": FORM | {"masks": (np.float16, (VARIANTS, 1, 16, 16)), "kept": (np.float16, (VARIANTS, 4, 16, 16))},
    "outlined": FORM,
}


def _encoded(encoders: Encoders, pictures: list[Field], distances: list[Field], captions: list[list[str]]) -> Arrays:
    """Encode what every kind has; `captions` holds the wordings of each scene."""
    states = encoders.states([text for texts in captions for text in texts])
    return {
        "latents": encoders.latents(pictures).numpy(),
        "weights": np.stack([cell_weights(nearest) for nearest in distances])[:, None],
        "states": states.numpy().reshape(len(captions), CAPTIONS, 77, 128),
    }


def control_case(rng: np.random.Generator) -> tuple[Placement, list[str]]:
    """Return a picture for the ControlNet, and two captions: two in three name colours alone, which is harder."""
    placed = rng.random() < 0.35
    scene = sample(rng, pairs=0.45, unseen=False) if placed else sample_unplaced(rng, pairs=0.45, unseen=False)
    naming = caption if placed else unplaced_caption
    captions = [(naming if rng.random() < 0.67 else shapeless_caption)(scene, rng), shapeless_caption(scene, rng)]
    return place(scene, rng) if placed else scatter(scene, rng), captions


def encode_control(encoders: Encoders, rng: np.random.Generator) -> Arrays:
    """Encode the next batch for the ControlNet."""
    placements, captions = zip(*(control_case(rng) for _ in range(BATCH)), strict=True)
    pictures, distances = zip(*(render(placement) for placement in placements), strict=True)
    edges = [[draw_edges(placement, sample_pen(rng)) for _ in range(VARIANTS)] for placement in placements]
    return _encoded(encoders, list(pictures), list(distances), list(captions)) | {"edges": np.round(np.asarray(edges) * 255.0)}


def hole_in_scene(rng: np.random.Generator) -> tuple[Placement, list[str], list[Mask]]:
    """Return a picture, captions that name everything, and masks of any kind."""
    scene = sample(rng, pairs=0.3, unseen=False)
    placement = place(scene, rng)
    return placement, [caption(scene, rng) for _ in range(CAPTIONS)], [sample_mask(placement, rng) for _ in range(VARIANTS)]


def hole_for_object(rng: np.random.Generator) -> tuple[Placement, list[str], list[Mask]]:
    """Return a picture, captions that name what goes into the hole, and masks around it that leave other objects alone."""
    if rng.random() < 0.25:  # two objects in halves
        scene = sample(rng, pairs=1.0, unseen=False)
        placement = place(scene, rng)
    else:
        scene = sample_unplaced(rng, pairs=0.55, unseen=False)
        placement = scatter(scene, rng)
    chosen = int(rng.integers(len(scene.items)))
    asked = Scene((scene.items[chosen],), scene.background)
    captions = [unplaced_caption(asked, rng, say_background=bool(rng.random() < 0.5)) for _ in range(CAPTIONS)]
    masks = []
    for _ in range(VARIANTS):
        mask = hole_around(placement.discs[chosen], rng)
        if scene.layout != "single" and rng.random() < 0.3:
            sides = [half(side) for side in range(4)]
            free = [side for side in sides if all((apart(side, d) == side).all() for i, d in enumerate(placement.discs) if i != chosen)]
            full = [side for side in free if (side | ~mask).mean() > 0.98]
            mask = choice(rng, full) if full else mask
        for index, disc in enumerate(placement.discs):
            if index != chosen:
                mask = apart(mask, disc)
        masks.append(mask)
    return placement, captions, masks


def encode_hole(encoders: Encoders, rng: np.random.Generator) -> Arrays:
    """Encode the next batch for the in-painting model."""
    cases = [(hole_in_scene if rng.random() < 0.5 else hole_for_object)(rng) for _ in range(BATCH)]
    placements, captions, masks = zip(*cases, strict=True)
    pictures, distances = zip(*(render(placement) for placement in placements), strict=True)
    hidden = [hide(picture, mask) for picture, several in zip(pictures, masks, strict=True) for mask in several]
    kept = encoders.latents(hidden).numpy().reshape(BATCH, VARIANTS, 4, 16, 16)
    small = np.stack([[cells(mask) for mask in several] for several in masks])
    return _encoded(encoders, list(pictures), list(distances), list(captions)) | {"kept": kept, "masks": small[:, :, None]}


def encode_outlined(encoders: Encoders, rng: np.random.Generator) -> Arrays:
    """Encode the next batch for the LoRA: ordinary captions, pictures in its style."""
    scenes = [sample(rng, pairs=0.3, unseen=False) for _ in range(BATCH)]
    pictures, distances = zip(*(render_outlined(scene, place(scene, rng)) for scene in scenes), strict=True)
    return _encoded(encoders, list(pictures), list(distances), [[caption(scene, rng) for _ in range(CAPTIONS)] for scene in scenes])


KINDS: dict[str, Callable[[Encoders, np.random.Generator], Arrays]] = {
    "control": encode_control,
    "hole": encode_hole,
    "outlined": encode_outlined,
}


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="folder of the embedded model")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--kind", choices=sorted(KINDS), required=True)
    parser.add_argument("--first", type=int, default=0, help="number of the first chunk, so that several processes can share the work")
    parser.add_argument("--chunks", type=int, default=8, help=f"of {chunks.CHUNK} scenes")
    options = parser.parse_args()
    torch.set_num_threads(1)
    encoders = load_model_encoders(options.model)
    for index in range(options.first, options.first + options.chunks):
        folder = options.out / "data" / f"{options.kind}-{index:02d}"
        if not folder.exists():
            rng = np.random.default_rng([index, list(KINDS).index(options.kind)])
            chunks.write(folder, FORMS[options.kind], partial(KINDS[options.kind], encoders, rng))
            print(folder, "written", flush=True)


if __name__ == "__main__":
    main()
