"""Encode pictures and captions in advance, so that training the U-Net needs no other network.

    python -m training.encode --out DIR --singles 10 --pairs 8

Writes DIR/data/{single,pair}-NN/{latents,weights,states}.npy, `CHUNK` scenes each; finished chunks are kept, so a second run adds to them.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from transformers import CLIPTextModel, CLIPTokenizer

from training import chunks
from training.captions import caption
from training.chunks import BATCH, CHUNK
from training.merges import load_tokenizer
from training.scenes import place, render, sample
from training.shapes import Field
from training.team import Team, gather
from training.train_text import token_ids

CAPTIONS = 2  # wordings of each scene
FORM: chunks.Form = {
    "latents": (np.float16, (4, 16, 16)),
    "weights": (np.float16, (1, 16, 16)),
    "states": (np.float16, (CAPTIONS, 77, 128)),
}
_CELL = 8  # pixels along a side of one latent cell
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


def load_model_encoders(model: Path) -> Encoders:
    """Load the encoders of an exported model."""
    autoencoder = AutoencoderKL.from_pretrained(model / "vae").to(memory_format=torch.channels_last)
    text_encoder = CLIPTextModel.from_pretrained(model / "text_encoder")
    return Encoders(autoencoder.float().eval(), text_encoder.float().eval(), load_tokenizer(model / "tokenizer"))


def cell_weights(nearest: Field) -> Field:
    """Return the loss weight of each latent cell, f32[16, 16], from distances f32[128, 128]: effort goes where shape is decided."""
    middle = nearest[_CELL // 2 :: _CELL, _CELL // 2 :: _CELL]
    return np.where(np.abs(middle) < _NEAR, _ON_OUTLINE, np.where(middle < 0.0, _INSIDE, 1.0)).astype(np.float32)


def encode_batch(encoders: Encoders, *, pairs: float, rng: np.random.Generator) -> chunks.Arrays:
    """Render, caption and encode the next `BATCH` training scenes."""
    scenes = [sample(rng, pairs=pairs, unseen=False) for _ in range(BATCH)]
    pictures, distances = zip(*(render(place(scene, rng)) for scene in scenes), strict=True)
    states = encoders.states([caption(scene, rng) for scene in scenes for _ in range(CAPTIONS)])
    return {
        "latents": encoders.latents(list(pictures)).numpy(),
        "weights": np.stack([cell_weights(nearest) for nearest in distances])[:, None],
        "states": states.numpy().reshape(BATCH, CAPTIONS, 77, 128),
    }


def run(out: Path, singles: int, pairs: int, team: Team) -> None:
    """Write the missing chunks; the team's members share them."""
    encoders = load_encoders(out)
    wanted = [("single", 0.0, index) for index in range(singles)] + [("pair", 1.0, index) for index in range(pairs)]
    for kind, share, index in wanted[team.rank :: team.size]:
        folder = out / "data" / f"{kind}-{index:02d}"
        if not folder.exists():
            rng = np.random.default_rng([index, int(share)])
            chunks.write(folder, FORM, partial(encode_batch, encoders, pairs=share, rng=rng))
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
