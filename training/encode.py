"""Encode pictures and captions in advance, so that training the U-Net needs no other network.

    python -m training.encode --out DIR --singles 10 --pairs 8

Writes DIR/data/{single,pair}-NN/{latents,weights,states}.npy, `CHUNK` scenes each; finished chunks are kept, so a second run adds to them.
"""

from __future__ import annotations

import argparse
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.lib.format import open_memmap
from transformers import CLIPTextModel, CLIPTokenizer

from training.captions import caption
from training.merges import load_tokenizer
from training.scenes import place, render, sample
from training.shapes import Field
from training.team import Team, gather
from training.train_text import token_ids

CHUNK = 2048  # scenes in one folder
CAPTIONS = 2  # wordings of each scene
_CELL = 8  # pixels along a side of one latent cell
_BATCH = 32
_NEAR = 6.0  # pixels: a cell whose centre is closer than this to an outline contains part of it
_ON_OUTLINE, _INSIDE = 5.0, 2.0  # weights of such cells, and of cells inside an object; other cells have 1


@dataclass(frozen=True)
class Encoders:
    """The frozen networks that make the U-Net's inputs."""

    vae: AutoencoderKL
    text: CLIPTextModel
    tokenizer: CLIPTokenizer

    @torch.no_grad()
    def latents(self, pictures: list[Field]) -> torch.Tensor:
        """Encode pictures to f32[n, 4, 16, 16], with mean 0 and variance 1 in each channel."""
        batch = torch.from_numpy(np.stack(pictures)).to(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            means = self.vae.encode(batch).latent_dist.mean
        latents: torch.Tensor = means.float() * float(self.vae.config.scaling_factor)
        return latents

    @torch.no_grad()
    def states(self, texts: list[str]) -> torch.Tensor:
        """Encode texts to f32[n, 77, 128]."""
        states: torch.Tensor = self.text(token_ids(self.tokenizer, texts)).last_hidden_state
        return states


def load_encoders(out: Path, *, vae: Path | None = None, text: Path | None = None) -> Encoders:
    """Load the results of the first two stages; `vae` and `text` are folders of later versions."""
    autoencoder = AutoencoderKL.from_pretrained(vae or out / "vae").to(memory_format=torch.channels_last)
    text_encoder = CLIPTextModel.from_pretrained(text or out / "text_encoder")
    return Encoders(autoencoder.eval(), text_encoder.eval(), load_tokenizer(out / "tokenizer"))


def cell_weights(nearest: Field) -> Field:
    """Return the loss weight of each latent cell, f32[16, 16], from distances f32[128, 128]: effort goes where shape is decided."""
    middle = nearest[_CELL // 2 :: _CELL, _CELL // 2 :: _CELL]
    return np.where(np.abs(middle) < _NEAR, _ON_OUTLINE, np.where(middle < 0.0, _INSIDE, 1.0)).astype(np.float32)


def write_chunk(folder: Path, encoders: Encoders, *, pairs: float, rng: np.random.Generator) -> None:
    """Render, caption and encode `CHUNK` training scenes into a folder that appears when it is complete."""
    unfinished = folder.with_name(folder.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    latents = open_memmap(unfinished / "latents.npy", "w+", np.float16, (CHUNK, 4, 16, 16))
    weights = open_memmap(unfinished / "weights.npy", "w+", np.float16, (CHUNK, 1, 16, 16))
    states = open_memmap(unfinished / "states.npy", "w+", np.float16, (CHUNK, CAPTIONS, 77, 128))
    for start in range(0, CHUNK, _BATCH):
        rows = slice(start, start + _BATCH)
        scenes = [sample(rng, pairs=pairs, unseen=False) for _ in range(_BATCH)]
        pictures, distances = zip(*(render(place(scene, rng)) for scene in scenes), strict=True)
        latents[rows] = encoders.latents(list(pictures)).numpy()
        weights[rows, 0] = np.stack([cell_weights(nearest) for nearest in distances])
        for wording in range(CAPTIONS):
            states[rows, wording] = encoders.states([caption(scene, rng) for scene in scenes]).numpy()
    for array in (latents, weights, states):
        array.flush()
    unfinished.rename(folder)


def run(out: Path, singles: int, pairs: int, team: Team) -> None:
    """Write the missing chunks; the team's members share them."""
    encoders = load_encoders(out)
    chunks = [("single", 0.0, index) for index in range(singles)] + [("pair", 1.0, index) for index in range(pairs)]
    for kind, share, index in chunks[team.rank :: team.size]:
        folder = out / "data" / f"{kind}-{index:02d}"
        if not folder.exists():
            write_chunk(folder, encoders, pairs=share, rng=np.random.default_rng([index, int(share)]))
            print(folder, "written", flush=True)
    team.leave()


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--singles", type=int, default=10, help=f"chunks of {CHUNK} scenes with one object")
    parser.add_argument("--pairs", type=int, default=8, help=f"chunks of {CHUNK} scenes with two objects")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    if team := gather("training.encode", options.processes, options.out):
        run(options.out, options.singles, options.pairs, team)


if __name__ == "__main__":
    main()
