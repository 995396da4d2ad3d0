"""Tokenize prompts never seen before: sdrt beside transformers, in one process.

Both make a text encoder's input: a numpy array of 77 ids for each prompt, padded and cut. Each repeat has its own prompts: about a dozen
words, as frequent as their ranks in CLIP's vocabulary suggest, and one in ten invented. ``cold`` starts with an empty cache of words,
``warm`` after 4,000 other prompts.
"""

import json
import random
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from transformers import CLIPTokenizer

from benchmarks import report
from sdrt.prompt import chunk_prompt
from sdrt.tokenizer import ClipTokenizer
from sdrt.tokenizer.clip_vocabulary import ClipVocabulary

_ACCENTS = str.maketrans({"a": "à", "e": "é", "i": "ï", "o": "ö", "u": "û", "n": "ñ"})


def prompts(number: int, seed: int, *, accents: bool = False) -> list[str]:
    """Make prompts of 8 to 16 words; with ``accents``, most words are beyond ASCII."""
    draw = random.Random(seed)
    tokens = ClipVocabulary().tokens
    known = [token[:-4] for token in map(tokens.__getitem__, range(512, 40_000)) if token.endswith("</w>") and token[:-4].isalpha()]
    weights = [*accumulate(1 / (10 + rank) for rank in range(len(known)))]

    def word() -> str:
        if draw.random() < 0.1:
            return "".join(draw.choice("bcdfglmnprstv") + draw.choice("aeiou") for _ in range(draw.randrange(2, 5)))
        return draw.choices(known, cum_weights=weights)[0] + "," * (draw.random() < 0.15)

    texts = [" ".join(word() for _ in range(draw.randrange(8, 17))) for _ in range(number)]
    return [text.translate(_ACCENTS) for text in texts] if accents else texts


def write_folder(folder: Path) -> None:
    """Write CLIP's vocabulary as the files that transformers reads."""
    vocabulary = ClipVocabulary()
    ids = {token: i for i, token in vocabulary.tokens.items()}
    (folder / "vocab.json").write_text(json.dumps(ids), encoding="utf-8")
    merges = "".join(f"{left} {right}\n" for left, right in vocabulary.merge_tokens)
    (folder / "merges.txt").write_text("#version: 0.2\n" + merges, encoding="utf-8")
    (folder / "tokenizer_config.json").write_text('{"model_max_length": 77}', encoding="utf-8")


def _peer(folder: Path) -> Callable[[list[str]], object]:
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    return lambda texts: tokenizer(texts, padding="max_length", truncation=True, max_length=77, return_tensors="np").input_ids


def _chunker(folder: Path) -> Callable[[list[str]], object]:
    """Return the work that ``generate`` does for each prompt: parse weights, and split into chunks."""
    tokenizer = ClipTokenizer.load(folder)
    return lambda texts: [chunk_prompt(text, tokenizer) for text in texts]


def _time(opened: list[Callable[[list[str]], object]], texts: list[list[str]]) -> dict[str, float]:
    """Time one call in each repeat, with its own prompts; if there are fewer openers than prompts, the last one is used again."""
    runs = iter([*zip(opened + opened[-1:] * (len(texts) - len(opened)), texts, strict=True)])

    def run() -> object:
        tokenize, batch = next(runs)
        return tokenize(batch)

    return report.timed(run, len(texts) - 1)


def measure(repeats: int = 9) -> dict[str, Any]:
    """Measure the seconds for a batch of 1 and of 1,000 prompts, and for opening a tokenizer."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_folder(folder)
        openers: dict[str, Callable[[], Callable[[list[str]], object]]] = {
            "sdrt": lambda: ClipTokenizer.load(folder).batch,
            "transformers": lambda: _peer(folder),
            "sdrt's chunk_prompt": lambda: _chunker(folder),
        }
        results: dict[str, Any] = {
            "open the folder": {
                "sdrt": report.timed(lambda: ClipTokenizer.load(folder), repeats),
                "transformers": report.timed(lambda: _peer(folder), repeats),
            },
            "open the vocabulary that ships": {"sdrt": report.timed(ClipTokenizer.clip, repeats)},
        }
        for label, accents in (("", False), (", accents", True)):
            many = [prompts(1000, seed, accents=accents) for seed in range(repeats + 1)]
            single = [[text] for text in prompts(20 * repeats, 1000, accents=accents)]
            for name, opener in openers.items():
                warm = opener()
                warm(prompts(4000, 2000, accents=accents))
                results.setdefault(f"1 prompt, warm{label}", {})[name] = _time([warm], single)
                results.setdefault(f"1,000 prompts, warm{label}", {})[name] = _time([warm], many)
                results.setdefault(f"1,000 prompts, cold{label}", {})[name] = _time([opener() for _ in many], many)
    for row in results.values():
        if "transformers" in row:
            row["ratio of minima"] = row["sdrt"]["min"] / row["transformers"]["min"]
            row["ratio of medians"] = row["sdrt"]["median"] / row["transformers"]["median"]
    return results


if __name__ == "__main__":
    report.main("tokenizer", measure)
