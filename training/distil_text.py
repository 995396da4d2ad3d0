"""Teach the text encoder terse, wordy and incomplete prompts, without touching the U-Net.

    python -m training.distil_text --out DIR --minutes 4

The teacher is the encoder that the U-Net was trained with. From the end of a loose prompt on, the student must return the states that the
teacher returns for the plain and complete caption; before the end, where the rest of the prompt is not known yet, those that it returns for
the loose prompt itself. Ordinary captions, and the empty prompt, which guidance needs unchanged, keep all their states. Writes
DIR/text_distilled.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from transformers import CLIPTextModel

from training.captions import DEFAULT_BACKGROUND, DEFAULT_COLOUR, caption, plain_caption
from training.loop import LoopSettings, train
from training.merges import load_tokenizer
from training.scenes import Item, Scene, choice, sample
from training.stage import alone
from training.team import Team
from training.train_text import token_ids

_BATCH = 64
_LOOSE_SHARE = 0.6  # of a batch; the states of the rest must not change
_OPENINGS = ("", "", "", "a photo of ", "a picture of ", "an image of ", "draw ", "please draw ", "i want ", "show me ")
_DETERMINERS = ("the ", "one ", "a cute ", "")  # instead of the article
_ENDINGS = ("", "", "", "", ".", "!", " please", ", simple", ", flat design", ", high quality", ", 4k")


def loose_caption(rng: np.random.Generator) -> tuple[str, Scene]:
    """Word a prompt as people type it, and return it with the scene it means once everything omitted has its default."""
    scene = sample(rng, pairs=0.25, unseen=False)
    says_background, says_colour = rng.random() < 0.35, rng.random() < 0.7
    if not says_background and all(item.colour != DEFAULT_BACKGROUND for item in scene.items):
        scene = replace(scene, background=DEFAULT_BACKGROUND)
    else:
        says_background = True
    if scene.layout == "single" and not says_colour and scene.background != DEFAULT_COLOUR:
        scene = replace(scene, items=(Item(scene.items[0].shape, DEFAULT_COLOUR),))
    else:
        says_colour = True
    if rng.random() < 0.5:
        scene = replace(scene, position="centre", size="medium")
    text = plain_caption(scene)
    if not says_background:
        text = text.removesuffix(f" on a {DEFAULT_BACKGROUND} background")
    elif rng.random() < 0.4:
        text = text.removesuffix(" background").replace(" on an ", " on ").replace(" on a ", " on ")
    if not says_colour:
        text = text.replace(f"{DEFAULT_COLOUR} ", "", 1)
    if rng.random() < 0.5:
        text = choice(rng, _DETERMINERS) + text.removeprefix("an ").removeprefix("a ")
    return f"{choice(rng, _OPENINGS)}{text}{choice(rng, _ENDINGS)}", scene


def run(out: Path, minutes: float) -> None:
    """Train, and write OUT/text_distilled."""
    torch.set_num_threads(1)
    tokenizer = load_tokenizer(out / "tokenizer")
    teacher, student = (CLIPTextModel.from_pretrained(out / "text_encoder").eval() for _ in range(2))
    rng = np.random.default_rng()

    def batch() -> tuple[list[str], list[str]]:
        """Return the texts for the student and for the teacher; the empty prompt comes first."""
        pairs = [("", "")]
        while len(pairs) < _BATCH:
            if rng.random() < _LOOSE_SHARE:
                text, scene = loose_caption(rng)
                pairs.append((text, plain_caption(scene)))
            else:
                text = caption(sample(rng, pairs=0.4, unseen=False), rng, complete=True)
                pairs.append((text, text))
        read, meant = zip(*pairs, strict=True)
        return list(read), list(meant)

    def loss(_progress: float) -> dict[str, torch.Tensor]:
        read, meant = batch()
        ids = token_ids(tokenizer, read)
        ended = (ids == tokenizer.eos_token_id)[:, :, None]
        with torch.no_grad():
            whole, partial = (teacher(texts).last_hidden_state for texts in (token_ids(tokenizer, meant), ids))
            targets = torch.where(ended, whole, partial)
        squared = (student(ids).last_hidden_state - targets) ** 2
        return {"loss": squared.mean() + squared[0].mean(), "empty": squared[0].detach().mean()}

    settings = LoopSettings(checkpoint=out / "distilled.pt", minutes=minutes, learning_rate=3e-4, average=0.99, decay_from=0.3)
    train(list(student.parameters()), loss, settings, Team(0, 1))
    student.save_pretrained(out / "text_distilled")


if __name__ == "__main__":
    alone(__doc__, run, minutes=4.0)
