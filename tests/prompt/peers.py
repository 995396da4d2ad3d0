"""The processing of prompts in diffusers and transformers."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch


def open_peer(folder: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer = diffusers.StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
    peer.set_progress_bar_config(disable=True)
    # diffusers 0.42.1 looks for the final norm in transformers 4's module; bypass nn.Module, which would register a cycle.
    peer.text_encoder.__dict__["text_model"] = peer.text_encoder
    return peer


def draw(peer: Any, prompt: str, negative: str | None, seed: int, **settings: Any) -> np.ndarray:
    """Draw an image; a negative prompt of None is passed as ``negative_prompt_embeds``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        generator = torch.Generator().manual_seed(seed)
        [image] = peer(prompt, negative_prompt=negative, generator=generator, **settings).images
    return np.asarray(image)


def skipped(peer: Any, text: str, clip_skip: int) -> torch.Tensor:
    """Return diffusers' own states of one prompt, with layers skipped."""
    states, _ = peer.encode_prompt(text, "cpu", 1, do_classifier_free_guidance=False, clip_skip=clip_skip)
    return states  # type: ignore[no-any-return]


def hidden_states(peer: Any, rows: Sequence[Sequence[tuple[str, float]]], *, keep_mean: bool = True) -> np.ndarray:
    """Encode chunks of one prompt, written by hand as (text, weight), with transformers: float32[1, chunks*77, D]."""
    tokenizer, states = peer.tokenizer, []
    for row in rows:
        ids, weights = [tokenizer.bos_token_id], [1.0]
        for text, weight in row:
            own = tokenizer(text, add_special_tokens=False).input_ids
            ids += own
            weights += [weight] * len(own)
        assert len(ids) <= 76
        ids.append(tokenizer.eos_token_id)
        ids += [tokenizer.pad_token_id] * (77 - len(ids))
        weights += [1.0] * (77 - len(weights))
        with torch.no_grad():
            z = peer.text_encoder(torch.tensor([ids])).last_hidden_state
        scaled = z * torch.tensor(weights)[None, :, None]
        if keep_mean:
            scaled = scaled * (z.mean() / scaled.mean())
        states.append(scaled)
    return torch.cat(states, dim=1).numpy()


def words(count: int, text: str = "red") -> str:
    """Return a text of this many tokens."""
    return " ".join([text] * count)
