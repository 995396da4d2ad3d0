"""Train the text encoder alone, before any picture: its states must represent the content of a caption.

    python -m training.train_text --out DIR --minutes 4

Linear heads read layout, shapes, colours, background, position and size from the states at the end token and at random later positions, so
the U-Net, which sees all 77 states, starts from meanings instead of having to find them. Writes DIR/tokenizer and DIR/text_encoder.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch.nn import functional
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from training.captions import caption
from training.loop import LoopSettings, train
from training.merges import MAX_LENGTH, load_tokenizer, write_tokenizer
from training.scenes import COLOURS, LAYOUTS, POSITIONS, SIZES, Scene, sample
from training.shapes import SHAPES
from training.stage import alone
from training.team import Team

HIDDEN = 128  # width of the states
_BATCH = 96
_LATER = 3  # positions after the end token that the heads read, in addition to it
_NONE = 1  # one more class for the second object's shape and colour: no second object
HEADS = [len(LAYOUTS), len(SHAPES), len(COLOURS), len(SHAPES) + _NONE, len(COLOURS) + _NONE, len(COLOURS), len(POSITIONS), len(SIZES)]


def new_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """Make an untrained CLIP text model for this vocabulary."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=HIDDEN,
            intermediate_size=2 * HIDDEN,
            projection_dim=HIDDEN,
            num_hidden_layers=3,
            num_attention_heads=4,
            max_position_embeddings=MAX_LENGTH,
            hidden_act="quick_gelu",
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            initializer_factor=1.0,
        )
    )


def token_ids(tokenizer: CLIPTokenizer, texts: list[str]) -> torch.Tensor:
    """Tokenize to i64[n, 77], padded and cut as in diffusers' pipeline."""
    ids: torch.Tensor = tokenizer(texts, padding="max_length", max_length=MAX_LENGTH, truncation=True, return_tensors="pt").input_ids
    return ids


def labels(scene: Scene) -> list[int]:
    """Return the class that each head must predict."""
    first, second = scene.items[0], scene.items[1] if len(scene.items) > 1 else None
    return [
        LAYOUTS.index(scene.layout),
        SHAPES.index(first.shape),
        COLOURS.index(first.colour),
        SHAPES.index(second.shape) if second else len(SHAPES),
        COLOURS.index(second.colour) if second else len(COLOURS),
        COLOURS.index(scene.background),
        POSITIONS.index(scene.position),
        SIZES.index(scene.size),
    ]


def _captions(rng: np.random.Generator, count: int, unseen: bool) -> tuple[list[str], torch.Tensor]:
    scenes = [sample(rng, pairs=0.45, unseen=unseen) for _ in range(count)]
    return [caption(scene, rng) for scene in scenes], torch.tensor([labels(scene) for scene in scenes])


def _answers(scores: torch.Tensor) -> torch.Tensor:
    """Convert scores f32[n, p, sum of HEADS] to classes i64[n, p, heads]."""
    return torch.stack([part.argmax(-1) for part in torch.split(scores, HEADS, -1)], -1)


def run(out: Path, minutes: float) -> None:
    """Train; write the tokenizer and the encoder; print the share of correct answers on held-out scenes."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if not (out / "tokenizer").exists():
        write_tokenizer(out / "tokenizer")
    tokenizer = load_tokenizer(out / "tokenizer")
    encoder, heads = new_text_encoder(tokenizer), torch.nn.Linear(HIDDEN, sum(HEADS))
    rng = np.random.default_rng()

    def read(texts: list[str]) -> torch.Tensor:
        """Return scores at the end token and at a few random later positions: f32[n, 1 + _LATER, sum of HEADS]."""
        ids = token_ids(tokenizer, texts)
        ends = (ids == tokenizer.eos_token_id).int().argmax(1)
        later = ends[:, None] + (torch.rand(len(texts), _LATER) * (MAX_LENGTH - ends)[:, None]).long()
        places = torch.cat([ends[:, None], later], 1)
        with torch.autocast("cpu", torch.bfloat16):
            states = encoder(ids).last_hidden_state
        scores: torch.Tensor = heads(states.float().gather(1, places[:, :, None].expand(-1, -1, HIDDEN)))
        return scores

    def loss(_progress: float) -> dict[str, torch.Tensor]:
        texts, targets = _captions(rng, _BATCH, unseen=False)
        scores = read(texts)
        parts = zip(torch.split(scores, HEADS, -1), targets.T, strict=True)
        total = sum(functional.cross_entropy(part.mT, want[:, None].expand(-1, 1 + _LATER)) for part, want in parts)
        right = (_answers(scores) == targets[:, None]).all(-1).float().mean()
        return {"loss": torch.as_tensor(total), "right": right}

    settings = LoopSettings(checkpoint=out / "text.pt", minutes=minutes, learning_rate=1.5e-3, average=0.99, warmup_steps=50)
    train([*encoder.parameters(), *heads.parameters()], loss, settings, Team(0, 1))
    encoder.eval()
    with torch.no_grad():
        texts, targets = _captions(np.random.default_rng(1), 600, unseen=True)
        right = (_answers(read(texts)) == targets[:, None]).all(1).float().mean(0)
    print("held-out scenes, share right by head:", [round(float(share), 4) for share in right], flush=True)
    encoder.save_pretrained(out / "text_encoder")


if __name__ == "__main__":
    alone(__doc__, run, minutes=4.0)
