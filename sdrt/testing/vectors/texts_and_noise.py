"""Vectors of tokenizers and of noise streams."""

from collections.abc import Mapping
from typing import Any

from sdrt.arrays import Array
from sdrt.rng import names, stream
from sdrt.tokenizer import ClipTokenizer

__all__ = ["noise", "tokens"]

_TEXTS = (
    "",
    " ",
    "a red circle on a blue background",
    "A RED circle,  on\ta blue\nbackground!!",
    "photo of a cat (masterpiece:1.2), 8k, f/1.8",
    "don't we'll they're I've she'd I'm it's",
    "number 1234567890 and 3.14159",
    "<|startoftext|> inside <|endoftext|> text",
    "na\u00efve fa\u00e7ade, nai\u0308ve fac\u0327ade",
    "\u65e5\u672c\u306e\u5c71 \U0001f984 \u043a\u0440\u0443\u0433 \u062f\u0627\u0626\u0631\u0629",
    "&amp; &lt;b&gt; &#39;",
    "Stra\u00dfe \u0130stanbul \u1e9e \ufb01n",
    "supercalifragilisticexpialidocious antidisestablishmentarianism",
    " ".join(f"word{index}" for index in range(60)),
)

_SEEDS = (0, 93, 2**32 - 1)
# Of latents, fewer than sixteen values, and no multiple of sixteen: each goes another way in torch.
_DRAWS = ((1, 4, 8, 8), (7,), (37,), (2, 4, 4, 6))


def tokens() -> list[dict[str, Any]]:
    """Return texts with their ids in CLIP's own vocabulary: all 77 positions, and those that a text has without a limit."""
    tokenizer = ClipTokenizer.clip()
    rows = tokenizer.batch(_TEXTS).input_ids
    return [
        {"text": text, "ids": tokenizer.encode(text), "input_ids": [int(each) for each in row]}
        for text, row in zip(_TEXTS, rows, strict=True)
    ]


def noise() -> tuple[list[dict[str, Any]], Mapping[str, Array]]:
    """Return the draws of each stream, one after another from one seed, and their numbers."""
    draws: list[dict[str, Any]] = []
    arrays: dict[str, Array] = {}
    for name in names():
        for seed in _SEEDS:
            drawn, wide = stream(name, seed), stream(name, seed, numerics="float64")
            for index, shape in enumerate(_DRAWS):
                key = f"{name}.{seed}.{index}"
                arrays[f"{key}.float32"] = drawn.normal(shape)
                arrays[f"{key}.float64"] = wide.normal(shape)
                draws.append({"stream": name, "seed": seed, "draw": index, "shape": list(shape), "key": key})
    return draws, arrays
